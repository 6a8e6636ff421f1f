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

    `parts` are remarks for people, such as the seconds by step.
    """

    name: str
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
    """The comparisons as a table for a terminal, without their parts: ratios beside targets, median seconds beside them."""
    from rich.table import Table

    view = Table(title=f"finlake bench batch, {core_count} cores, medians", show_lines=True)
    for heading in ("comparison", "ratio", "target", "measured", "baseline", "pairs"):
        view.add_column(heading, justify="right" if heading in ("ratio", "target", "pairs") else "left")
    for each in comparisons:
        color = "green" if each.is_met else "red"
        view.add_row(
            each.name,
            f"[{color}]{each.ratio:.2f}[/{color}]", f"≤ {each.target_ratio:g}",
            f"{seconds(median(each.measured_s))}\n[dim]{each.measured}[/dim]",
            f"{seconds(median(each.baseline_s))}\n[dim]{each.baseline}[/dim]", str(len(each.measured_s)),
        )
    return view


def seconds(value: float) -> str:
    """A duration with three significant digits, in seconds, or in milliseconds below one."""
    return f"{value:.3g} s" if value >= 1 else f"{value * 1000:.3g} ms"
