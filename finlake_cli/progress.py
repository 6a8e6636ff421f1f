"""Lines that tell of progress while a command works."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def dimmed(console: "Console") -> Callable[[str], None]:
    """What prints such a line, as it is."""
    return lambda line: console.print(line, style="dim", highlight=False, markup=False, soft_wrap=True)
