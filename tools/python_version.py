"""Says so when this Python is too old for the project.

Written for the old ones too: nothing newer than Python 3.6.
"""

import sys

OLDEST = (3, 11)

if sys.version_info < OLDEST:
    found = "{} is Python {}.{}".format(sys.executable, *sys.version_info)
    sys.exit(found + "; this project needs 3.11 or newer: make PYTHON=/path/to/python3.11")
