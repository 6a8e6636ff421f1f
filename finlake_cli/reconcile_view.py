"""What a person sees of a comparison of the engines: tables, named ids, one verdict line; and the same as JSON."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

from finlake_cli.planned_runs import ARCHIVED_BY

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from finlake_proofs.chaos.run import ChaosReport
    from finlake_reconciliation.report import EngineReport, ReconcileReport


def show(report: "ReconcileReport", console: "Console", *, is_unattended: bool = True) -> None:
    """Tables, remarks, what nothing brings unless somebody does, and the verdict as the last line."""
    console.print(engines_table(report))
    console.print(derived_table(report))
    to_come = sum(each.behind_count for each in report.engines if each.engine == "Iceberg")
    waiting = (
        [f"{to_come} rows to come to Iceberg may wait for ever: work is not unattended here. {ARCHIVED_BY}"]
        if to_come and not is_unattended
        else []
    )
    for line in (*remarks(report), *waiting):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    console.print(
        report.verdict, style="bold green" if report.is_proven else "bold red", highlight=False, markup=False, soft_wrap=True
    )


def engines_table(report: "ReconcileReport") -> "Table":
    """Every engine beside Postgres. A group is the rows of one symbol received in one hour."""
    from rich.table import Table

    view = Table(title=f"rows below LSN {report.lsn_text}, {report.cut_ts:%Y-%m-%d %H:%M:%S} UTC", title_justify="left")
    for heading in ("table", "engine", "rows", "to come", "groups", "differ", "verdict"):
        is_text = heading in ("table", "engine", "verdict")
        view.add_column(heading, justify="left" if is_text else "right", no_wrap=heading != "verdict")
    for relation, count in report.row_counts.items():
        view.add_row(relation, "Postgres", f"{count}", "", "", "", "")
        for each in (each for each in report.engines if each.relation == relation):
            view.add_row(
                "",
                each.engine,
                f"{each.row_count}",
                f"{each.behind_count}",
                f"{each.bucket_count}",
                f"{each.different_bucket_count}",
                _colored(each.verdict, each.is_proven),
            )
    return view


def derived_table(report: "ReconcileReport") -> "Table":
    """Candles and windows beside their recomputation."""
    from rich.table import Table

    view = Table()
    for heading in ("made from trades", "windows", "different", "moving", "verdict"):
        view.add_column(heading, no_wrap=heading != "verdict")
    for each in report.derived:
        verdict = "equal to a recomputation" if each.is_proven else "differs"
        view.add_row(
            each.table,
            f"{each.window_count}",
            f"{each.different_count}",
            f"{each.moving_count}",
            _colored(verdict, each.is_proven),
        )
    return view


def kills_table(outcome: "ChaosReport") -> "Table":
    """What was killed, stood still or had no room, and how long each took to be back."""
    from rich.table import Table

    view = Table("befallen", "times", "back after, median", "longest")
    for name, count in outcome.recoveries.most_common():
        middle, longest = outcome.recovery_s(name)
        view.add_row(name, f"{count}", f"{middle:.1f} s", f"{longest:.1f} s")
    return view


def remarks(report: "ReconcileReport") -> Iterator[str]:
    """What the tables do not say: remarks, ids at fault, windows that differ, days that were proven, next steps."""
    for engine in report.engines:
        yield from (f"{engine.engine} {engine.relation}: {remark}" for remark in engine.remarks)
        yield from _named_ids(engine)
    for derived in report.derived:
        yield from (f"{derived.table}: {line}" for line in (*derived.remarks, *derived.first))
    for day in report.days:
        state = "archived and dropped from Postgres" if day.is_dropped else "archived and proven"
        yield f"{day.relation} of {day.day}: {day.row_count} rows {state}"
    yield from (f"next step: {step}" for step in report.next_steps)


def as_json(report: "ReconcileReport") -> str:
    """The whole report; the LSN as Postgres writes it and the verdict come with it."""
    content = asdict(report) | {
        "lsn": report.lsn_text,
        "verdict": report.verdict,
        "next_steps": report.next_steps,
        "is_proven": report.is_proven,
        "lost_count": report.lost_count,
        "doubled_count": report.doubled_count,
        "engines": [asdict(each) | {"verdict": each.verdict, "is_proven": each.is_proven} for each in report.engines],
    }
    return json.dumps(content, indent=2, default=str)


def _named_ids(engine: "EngineReport") -> Iterator[str]:
    for kind, ids in engine.faulty.items():
        rest = f" and {ids.count - len(ids.first)} more" if ids.count > len(ids.first) else ""
        yield f"{engine.engine} {engine.relation}: {ids.count} {kind}: {', '.join(ids.first)}{rest}"


def _colored(text: str, is_good: bool) -> str:
    color = "green" if is_good else "red"
    return f"[{color}]{text}[/{color}]"
