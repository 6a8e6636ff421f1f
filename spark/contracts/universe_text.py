"""Where in the universe file an entry stands, so that a message can show the line.

TOML's reader gives values without their places; the places are found again by the form of the lines, which is a search:
only for a message. A place that
cannot be found (a file written in an unusual form) is reported as the nearest line above it that can.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

LINE_CHARACTERS = 100
MOST_DIGITS = 4_300
"""Python reads no longer integer."""
MOST_NESTING = 50
"""Brackets within brackets; a universe file needs three."""
_LONG_INTEGER = re.compile(rf"[0-9_]{{{MOST_DIGITS}}}")
_BLOCK = re.compile(r"""^\s*\[\[\s*["']?ticker["']?\s*\]\]""")


@dataclass(frozen=True)
class UniverseText:
    """The file as text. Blocks and lines are counted as a reader counts: the first line is 1, the first block 0."""

    text: str

    def block(self, number: int) -> int | None:
        """Line of the header of a [[ticker]] block; None when there is no such header."""
        return next((line for position, line in enumerate(self._headers()) if position == number), None)

    def key(self, number: int, key: str) -> int | None:
        """Line in a block that begins with `key =`; the block's header when there is none."""
        form = re.compile(rf"""^\s*["']?{re.escape(key)}["']?\s*=""")
        return self._first(number, self.block(number), lambda line: form.match(line) is not None)

    def value(self, number: int, key: str, value: str) -> int | None:
        """Line in a block, from `key =` on, that holds a quoted value; the key's line when there is none."""
        return self._first(number, self.key(number, key), lambda line: f'"{value}"' in line or f"'{value}'" in line)

    def top_level(self, name: str) -> int | None:
        """First line that opens a table, or sets a key, of this name."""
        form = re.compile(rf"""^\s*(\[\[?\s*)?["']?{re.escape(name)}["']?\s*(\]|=)""")
        return next((number for number, line in enumerate(self._lines(), 1) if form.match(line)), None)

    def too_long_integer(self) -> int | None:
        """First line with an integer that cannot be read."""
        return next((number for number, line in enumerate(self._lines(), 1) if _LONG_INTEGER.search(line)), None)

    def too_deep(self) -> int | None:
        """First line at which more brackets are open than any value of a universe file has."""
        depth = 0
        for number, line in enumerate(self._lines(), 1):
            for character in line:
                depth = max(0, depth + (character in "[{") - (character in "]}"))
                if depth > MOST_NESTING:
                    return number
        return None

    def said(self, line: int | None) -> str:
        """The place in words, with the line itself: the head of a message."""
        lines = self._lines()
        if line is None or not 1 <= line <= len(lines):
            return "universe file"
        shown = lines[line - 1].strip()
        cut = shown if len(shown) <= LINE_CHARACTERS else f"{shown[:LINE_CHARACTERS]}…"
        return f"universe file, line {line} [{cut}]"

    def _lines(self) -> list[str]:
        # Not splitlines: TOML ends a line at a newline only, and so does an editor.
        return self.text.split("\n")

    def _headers(self) -> Iterator[int]:
        return (number for number, line in enumerate(self._lines(), 1) if _BLOCK.match(line))

    def _first(self, block: int, start: int | None, fits: Callable[[str], bool]) -> int | None:
        if start is None:
            return None
        lines, following = self._lines(), self.block(block + 1)
        end = len(lines) if following is None else following - 1
        return next((number for number in range(start, end + 1) if fits(lines[number - 1])), start)
