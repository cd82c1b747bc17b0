"""What all tests share."""

from __future__ import annotations

from hypothesis import settings

# No deadline: on two shared cores the time of one example says nothing about the code.
settings.register_profile("hub", deadline=None, max_examples=50)
settings.load_profile("hub")
