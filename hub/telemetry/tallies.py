"""Counters and histograms of what happens with every request.

Those of prometheus-client take a lock at each step, and go through all buckets. Here one loop counts with plain
numbers, and they become metrics when somebody scrapes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client import CollectorRegistry

Labels = tuple[str, ...]


class Tally:
    """A counter; its values stand under the values of its labels."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str], registry: CollectorRegistry) -> None:
        self._name = name
        self._documentation = documentation
        self._labels = labels
        self._counts: defaultdict[Labels, int] = defaultdict(int)
        if not labels:
            self._counts[()] = 0  # As prometheus-client does: a counter without labels starts at zero.
        registry.register(self)

    def add(self, labels: Labels, amount: int = 1) -> None:
        """Count."""
        self._counts[labels] += amount

    def collect(self) -> Iterator[CounterMetricFamily]:
        """What was counted so far."""
        family = CounterMetricFamily(self._name, self._documentation, labels=self._labels)
        for labels, count in self._counts.items():
            family.add_metric(labels, count)
        yield family


class Durations:
    """A histogram of seconds; ``bounds_s`` are the upper bounds of its buckets, to which infinity is added."""

    def __init__(
        self,
        name: str,
        documentation: str,
        labels: Sequence[str],
        registry: CollectorRegistry,
        *,
        bounds_s: Sequence[float],
    ) -> None:
        self._name = name
        self._documentation = documentation
        self._labels = labels
        self._bounds_s = tuple(bounds_s)
        self._names = (*(str(float(bound)) for bound in bounds_s), "+Inf")
        self._counts: defaultdict[Labels, list[int]] = defaultdict(lambda: [0] * len(self._names))
        self._sums: defaultdict[Labels, float] = defaultdict(float)
        registry.register(self)

    def observe(self, labels: Labels, duration_s: float) -> None:
        """Count one duration."""
        self._counts[labels][bisect_left(self._bounds_s, duration_s)] += 1
        self._sums[labels] += duration_s

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """What was seen so far."""
        family = HistogramMetricFamily(self._name, self._documentation, labels=self._labels)
        for labels, counts in self._counts.items():
            family.add_metric(labels, list(zip(self._names, accumulate(counts), strict=True)), self._sums[labels])
        yield family
