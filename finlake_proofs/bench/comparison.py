"""A comparison of two ways to spend time, measured side by side, with the ratio it must not exceed."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Pairs of measurements in seconds: the n-th of `measured_s` was made right beside the n-th of `baseline_s`.

    `parts` are remarks for people, such as the seconds by step. `engine` computed the lake; none where there is no lake.
    """

    name: str
    engine: str = ""
    measured: str
    baseline: str
    measured_s: tuple[float, ...]
    baseline_s: tuple[float, ...]
    target_ratio: float
    parts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.measured_s or len(self.measured_s) != len(self.baseline_s):
            counts = f"{len(self.measured_s)} and {len(self.baseline_s)}"
            raise ValueError(f"{self.name}: {counts} measurements are no pairs; measure both sides each time")

    @property
    def ratio(self) -> float:
        """Median of the pairs' ratios: what slows the machine for a while slows both sides of a pair."""
        return median(left / right for left, right in zip(self.measured_s, self.baseline_s, strict=True))

    @property
    def is_met(self) -> bool:
        """Whether the ratio is within the target."""
        return self.ratio <= self.target_ratio


def results_table(comparisons: Sequence[Comparison], core_count: int) -> "Table":
    """The comparisons as a table for a terminal, without their parts: a column of ratios for each engine, with the target and the
    median seconds below."""
    from rich.table import Table

    engines = list(dict.fromkeys(each.engine for each in comparisons if each.engine)) or [""]
    view = Table(title=f"finlake bench batch, {core_count} cores, medians", show_lines=True)
    for heading in ("comparison", *engines):
        view.add_column(heading)
    for name in dict.fromkeys(each.name for each in comparisons):
        by_engine = {each.engine: each for each in comparisons if each.name == name}
        view.add_row(name, *(_cell(by_engine.get(engine) or by_engine.get("")) for engine in engines))
    return view


def _cell(found: Comparison | None) -> str:
    if found is None:
        return ""
    color = "green" if found.is_met else "red"
    return (
        f"[{color}]{found.ratio:.2f}[/{color}] (≤ {found.target_ratio:g}, {len(found.measured_s)} pairs)\n"
        f"{seconds(median(found.measured_s))} [dim]{found.measured}[/dim]\n"
        f"{seconds(median(found.baseline_s))} [dim]{found.baseline}[/dim]"
    )


def seconds(value: float) -> str:
    """A duration with three significant digits, in seconds, or in milliseconds below one."""
    return f"{value:.3g} s" if value >= 1 else f"{value * 1000:.3g} ms"
