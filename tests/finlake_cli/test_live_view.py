"""The view of the stream ends its last line, so that what comes next has a line of its own."""

import io
from types import SimpleNamespace
from typing import Any

from rich.console import Console

from finlake_cli.live_view import watch


class ClickHouse:
    """Answers with one symbol and all of them."""

    def query(self, *_: object, **__: object) -> Any:
        return SimpleNamespace(result_rows=[("AAPL", 7, 1.5, 180.25, 90.0, 120.0), ("", 7, 1.5, 180.25, 90.0, 120.0)])


def test_what_is_printed_after_the_view_begins_a_line_where_the_output_is_no_terminal() -> None:
    console = Console(file=io.StringIO(), width=80)
    moments = iter([0.0, 1.0])
    now = watch(ClickHouse(), console, 0.5, clock=lambda: next(moments))  # type: ignore[arg-type]
    console.print("next")
    assert isinstance(console.file, io.StringIO)
    assert (now.symbol, now.trade_count) == ("", 7)
    assert console.file.getvalue().splitlines()[-1] == "next"
