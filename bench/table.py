"""From samples to the table that is printed and the document that is kept."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from growth import Growth
    from rounds import Samples
    from subjects import Sample
    from workloads import Figure, Goal, Workload

_UNITS: dict[Figure, str] = {"requests_s": "req/s", "p50_us": "µs p50", "front_cpu_us": "µs CPU/req"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One goal, with what was seen: the ratio of the medians, and the lowest and highest of a single round."""

    workload: str
    subject: str
    peer: str
    unit: str
    ours: float
    theirs: float
    ratio: float
    low: float
    high: float
    goal: str
    reached: bool


def rows(workload: Workload, samples: Samples) -> list[Row]:
    """The goals of a piece of work whose subject and peer were both there."""
    return [_row(workload, goal, samples) for goal in workload.goals if {goal.subject, goal.peer} <= samples.keys()]


def _row(workload: Workload, goal: Goal, samples: Samples) -> Row:
    ours, theirs = (_values(samples[name], goal.figure) for name in (goal.subject, goal.peer))
    ratios = [one / other for one, other in zip(ours, theirs, strict=True) if other]
    ratio = median(ours) / median(theirs) if median(theirs) else float("inf")
    return Row(
        workload=workload.name,
        subject=goal.subject,
        peer=goal.peer,
        unit=_UNITS[goal.figure],
        ours=median(ours),
        theirs=median(theirs),
        ratio=ratio,
        low=min(ratios, default=ratio),
        high=max(ratios, default=ratio),
        goal=str(goal),
        reached=goal.reached(ratio),
    )


def _values(samples: Sequence[Sample], figure: Figure) -> list[float]:
    return [getattr(sample, figure) for sample in samples]


def medians(samples: Samples) -> dict[str, dict[str, float]]:
    """The median of every figure, by subject."""
    return {
        name: {key: median(asdict(one)[key] for one in measured) for key in asdict(measured[0])}
        for name, measured in samples.items()
    }


def show_workload(workload: Workload, samples: Samples) -> str:
    """All subjects of a piece of work, a line each."""
    lines = [["", "req/s", "p50 µs", "p99 µs", "CPU µs/req", "backend µs/req", "peak MiB"]]
    for name, figures in medians(samples).items():
        lines.append(
            [
                name,
                f"{figures['requests_s']:,.0f}",
                f"{figures['p50_us']:,.0f}",
                f"{figures['p99_us']:,.0f}",
                f"{figures['front_cpu_us']:,.0f}",
                f"{figures['back_cpu_us']:,.0f}" if figures["back_cpu_us"] else "-",
                f"{figures['front_peak_kib'] / 1024:,.0f}",
            ]
        )
    return f"{workload.name}\n{aligned(lines)}"


def show_goals(goals: Iterable[Row], *, thresholds: bool) -> str:
    """The table of goals; a smoke run shows no verdict, because one second says little."""
    head = ["work", "what", "hub", "peer", "peer's", "ratio", "spread", "goal", "reached"]
    lines = [head if thresholds else head[:-2]]
    for row in goals:
        line = [
            row.workload,
            f"{row.subject}: {row.unit}",
            f"{row.ours:,.0f}",
            row.peer,
            f"{row.theirs:,.0f}",
            f"{row.ratio:.2f}",
            f"{row.low:.2f} to {row.high:.2f}",
        ]
        lines.append([*line, row.goal, "yes" if row.reached else "NO"] if thresholds else line)
    return aligned(lines)


def show_growth(growth: Iterable[Growth], *, thresholds: bool) -> str:
    """What it costs to hold things."""
    lines = [["how cost grows", "", "", "goal", "reached"] if thresholds else ["how cost grows", "", ""]]
    for one in growth:
        line = [one.name, f"{one.value:,.2f}", one.unit]
        if thresholds and one.at_most is not None:
            line += [f"≤ {one.at_most:g}", "yes" if one.reached else "NO"]
        lines.append(line)
    return aligned(lines)


def aligned(lines: list[list[str]]) -> str:
    """A table of text."""
    columns = max(len(line) for line in lines)
    full = [[*line, *[""] * (columns - len(line))] for line in lines]
    widths = [max(len(line[column]) for line in full) for column in range(columns)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if _is_number(cell) else cell.ljust(width)
            for cell, width in zip(line, widths, strict=True)
        ).rstrip()
        for line in full
    )


def _is_number(cell: str) -> bool:
    return cell[:1].isdigit() and cell.replace(",", "").replace(".", "").isdigit()
