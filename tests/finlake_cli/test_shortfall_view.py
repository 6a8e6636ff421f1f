"""The end of a run: what falls short in one bounded table, what was asked for, and hints."""

import io
from dataclasses import replace
from datetime import date

import pytest
from rich.console import Console

from finlake_cli.planned_runs import NotRun, PlannedRun
from finlake_cli.shortfall_view import MOST_LINES, asked_of, folded, hints, rest, show, too_early
from spark.contracts import lake
from spark.contracts.report import Shortfall, Window
from spark.jobs.shortfalls import NotBuilt

MONDAY, FRIDAY = date(2018, 4, 2), date(2018, 4, 6)


def shortfall(kind: str, subject: str = "KO", address: str = "silver.completeness", reason: str = "no_bar") -> Shortfall:
    return Shortfall(
        kind=kind,
        address=address,
        subject=subject,
        first_date=MONDAY,
        last_date=FRIDAY,
        count=5,
        reason=reason,
        message="no download has a bar for this session: drop a newer file",
    )


def shown(found: list[Shortfall], not_run: list[NotRun] | None = None) -> str:
    console = Console(file=io.StringIO(), width=80)
    show(found, not_run or [], console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_nothing_amiss_is_said_in_one_line() -> None:
    assert shown([]) == "nothing was rejected, quarantined, missing or late\n"


def test_a_line_has_what_of_which_when_how_many_and_why_within_80_columns() -> None:
    text = shown([shortfall("missing"), shortfall("not_due")], [NotRun(first=FRIDAY, last=FRIDAY, why="not traded yet")])
    table = text[: text.index("all of it:")]
    assert max(map(len, table.splitlines())) <= 80
    words = " ".join(text.replace("│", " ").split())
    for said in ("missing", "not due", "not run", "KO", "2018-04-02", "no_bar:", "not traded yet"):
        assert said in words


def test_the_table_is_bounded_and_says_how_many_more_there_are_and_what_lists_them() -> None:
    many = [shortfall("missing", reason=f"reason_{n}") for n in range(MOST_LINES + 7)]
    text = shown(many)
    assert f"reason_{MOST_LINES - 1}:" in text
    assert f"reason_{MOST_LINES}:" not in text
    assert text.count("missing") - text.count("nothing") == MOST_LINES
    assert "and 7 more lines" in text
    assert "finlake sql \"select * from silver.completeness where status in ('absent', 'unexpected')\"" in text


def test_tickers_that_fell_short_alike_are_one_line_that_adds_them_up() -> None:
    many = [shortfall("missing", f"T{n}") for n in range(500)]
    ((what, told, count),) = folded(many)
    assert (what, count) == ("missing", 2500)
    assert told.startswith("T0, T1, T2, T3, T4 and 495 more, 2018-04-02 to 2018-04-06 (silver.completeness)\nno_bar: ")


def test_files_that_were_rejected_for_different_reasons_keep_their_own_advice() -> None:
    stranger = replace(shortfall("rejected", "KO b.csv"), message="drop it")
    first, second = folded([shortfall("rejected", "KO a.csv"), stranger])
    assert (first[1].partition(",")[0], second[1].partition(",")[0]) == ("KO a.csv", "KO b.csv")
    assert second[1].endswith("no_bar: drop it")


@pytest.mark.parametrize(
    ("kind", "address", "query"),
    [
        ("quarantined", "bronze.stooq_prices", "silver.quarantine"),
        ("rejected", "silver.price_restatements", "verdict in"),
        ("missing", "bronze.gdelt_slots", "from bronze.gdelt_slots"),
    ],
)
def test_each_kind_names_the_query_that_lists_all_of_it(kind: str, address: str, query: str) -> None:
    lines = rest([shortfall(kind, address=address)])
    assert query in lines[-1]
    assert ("finlake prices accept|drop" in lines[0]) is (kind == "rejected")


def test_markup_in_a_file_name_is_shown_as_it_is() -> None:
    assert "[bold]x.csv" in shown([shortfall("rejected", "[bold]x.csv")])


def test_runs_say_which_tables_and_dates_were_asked_for() -> None:
    runs = [
        PlannedRun(job="lake_by_day", first_key=date(2018, 3, 30), last_key=FRIDAY),
        PlannedRun(
            job="lake_by_session", first_key=MONDAY, last_key=FRIDAY, assets=("silver/prices_daily", "silver/completeness")
        ),
    ]
    asked = asked_of(runs, ["KO"], before=7)
    assert asked.sessions == Window(start=MONDAY, end=FRIDAY)
    assert asked.days == Window(start=date(2018, 3, 30), end=FRIDAY)
    assert asked.addresses == {*lake.of_window("day"), "silver.prices_daily", "silver.completeness"}
    assert "bronze.gdelt_slots" in asked.addresses
    assert asked_of(runs[:1], ["KO"], before=7).sessions is None


def test_a_new_ticker_is_told_the_command_for_its_whole_history() -> None:
    (line,) = hints([NotBuilt(ticker="NEW", first_in_files=date(2013, 1, 2), first_built=MONDAY)])
    assert line.startswith("NEW: its files go back to 2013-01-02, its tables begin 2018-04-02")
    assert line.endswith("finlake run --from 2013-01-02 --to 2018-04-02")


def test_what_becomes_of_bars_before_the_tables_is_told_in_one_line() -> None:
    assert too_early({}, date(2000, 1, 3)) == []
    (line,) = too_early({f"T{number}": date(1900, 1, 1) for number in range(7)}, date(2000, 1, 3))
    assert line.startswith("tables begin 2000-01-03, so bars before it stay in bronze.stooq_prices and are not published")
    assert "T0 from 1900-01-01" in line
    assert "and 2 more tickers" in line
