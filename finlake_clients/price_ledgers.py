"""What the lake knows of downloaded prices: their verdicts, what people decided, and what a restatement still asks for.

Does not belong here: how a verdict is reached (spark/transforms/silver). pyiceberg and polars are imported when asked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from spark.contracts.bronze import BAR_COLUMNS
from spark.contracts.report import Provenance, Window
from spark.contracts.silver import ACCEPTED_VERDICTS, PRICE_DECISIONS

if TYPE_CHECKING:
    import polars as pl
    from pyiceberg.expressions import BooleanExpression

    from spark.lake.storage import Lake


@dataclass(frozen=True, kw_only=True)
class PendingRestatement:
    """A restatement whose effect silver.prices_daily does not show yet.

    `needs_whole_history` when the download restates only the newest sessions: the rest has to be downloaded again.
    `recompute_from_date` is the first session to build again, of those that were built.
    """

    ticker: str
    file_sha256: str
    fetched_ts: datetime
    recompute_from_date: date
    needs_whole_history: bool


@dataclass(frozen=True, kw_only=True)
class DownloadVerdict:
    """What was found of a download; `message` names the file, the reason and what can be done."""

    ticker: str
    file_sha256: str
    fetched_ts: datetime
    source_name: str
    verdict: str
    message: str

    @property
    def is_used(self) -> bool:
        """Whether its bars speak."""
        return self.verdict in ACCEPTED_VERDICTS


def price_verdicts(lake: "Lake") -> list[DownloadVerdict]:
    """The verdict on every judged download, in the order in which they are judged."""
    rows = lake.rows(
        "silver.price_restatements",
        columns=("ticker", "fetched_ts", "file_sha256", "segment_number", "verdict", "message", "source_name"),
    ).to_pylist()
    ends = {
        (row["ticker"], row["file_sha256"]): row["last_session_date"] or date.min
        for row in lake.rows("bronze.stooq_downloads", columns=("ticker", "file_sha256", "last_session_date")).to_pylist()
    }
    rows.sort(
        key=lambda row: (
            row["ticker"],
            row["fetched_ts"],
            ends.get((row["ticker"], row["file_sha256"]), date.min),
            row["file_sha256"],
            row["segment_number"],
        )
    )
    return [
        DownloadVerdict(
            ticker=row["ticker"],
            file_sha256=row["file_sha256"],
            fetched_ts=row["fetched_ts"],
            source_name=row["source_name"] or row["file_sha256"],
            verdict=row["verdict"],
            message=row["message"],
        )
        for row in rows
        if row["segment_number"] == 0
    ]


def downloads(lake: "Lake") -> list[dict[str, Any]]:
    """The rows of bronze.stooq_downloads, oldest first."""
    rows = lake.rows("bronze.stooq_downloads").to_pylist()
    return sorted(rows, key=lambda row: (row["fetched_ts"], row["file_sha256"]))


def decide(
    lake: "Lake",
    *,
    ticker: str,
    file_sha256: str,
    source_name: str,
    decision: str,
    reason: str,
    decided_by: str,
    decided_ts: datetime,
) -> None:
    """Record what a person decided about a download; the next verdicts follow it. Raises `AuditFailedError` for no reason."""
    import pyarrow as pa
    from pyiceberg.expressions import And, EqualTo

    from spark.schemas import arrow_schema

    row = {
        "ticker": ticker,
        "file_sha256": file_sha256,
        "decision": decision,
        "reason": reason,
        "decided_by": decided_by,
        "decided_ts": decided_ts,
        "decided_date": decided_ts.date(),
        "source_name": source_name,
    }
    lake.replace_rows(
        PRICE_DECISIONS.address,
        pa.Table.from_pylist([row], arrow_schema(PRICE_DECISIONS)),
        replaced=And(
            EqualTo("ticker", ticker), EqualTo("file_sha256", file_sha256), EqualTo("decided_ts", decided_ts.isoformat())
        ),
        provenance=Provenance(run_id=uuid4().hex, partition="decision", code_version=""),
    )


def price_jumps(lake: "Lake", window: Window | None) -> list[dict[str, str]]:
    """Stretches of published bars that leap and come back without the trading for it, with the name of their file."""
    from spark.transforms.silver.price_jumps import unexplained_jumps

    return _with_file_names(lake, unexplained_jumps(_published(lake, window)))


def stale_tails(lake: "Lake", window: Window | None) -> list[dict[str, str]]:
    """Tickers whose newest published bars repeat one price without a share traded, with the name of their file."""
    from spark.transforms.silver.price_jumps import stale_tails

    return _with_file_names(lake, stale_tails(_published(lake, window)))


def _published(lake: "Lake", window: Window | None) -> "pl.DataFrame":
    """Published bars with their file, all or those of a window."""
    import polars as pl

    from spark.lake.storage import between

    columns = ("ticker", "session_date", *BAR_COLUMNS, "file_sha256")
    rows = (
        lake.rows("silver.prices_daily", columns=columns)
        if window is None
        else lake.rows("silver.prices_daily", between("session_date", window), columns)
    )
    return pl.DataFrame(pl.from_arrow(rows))


def _with_file_names(lake: "Lake", found: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    names = {row["file_sha256"]: row["source_name"] for row in downloads(lake)} if found else {}
    return [{**each, "source_name": names.get(each["file_sha256"], each["file_sha256"])} for each in found]


def pending_restatements(lake: "Lake") -> list[PendingRestatement]:
    """What the newest restatement of each ticker still asks for, oldest first."""
    first_known = {
        row["ticker"]: row["first_session_date"]
        for row in sorted(
            lake.rows("bronze.stooq_downloads", columns=("ticker", "first_session_date")).to_pylist(),
            key=lambda row: row["first_session_date"] or date.max,
            reverse=True,
        )
    }
    verdicts = sorted(
        lake.rows("silver.price_restatements").to_pylist(), key=lambda row: (row["fetched_ts"], -row["segment_number"])
    )
    newest = {row["ticker"]: row for row in verdicts}
    newest_change = {
        row["ticker"]: row for row in verdicts if row["verdict"] in ACCEPTED_VERDICTS and row["recompute_from_date"] is not None
    }
    waiting = [(row, first_known[row["ticker"]]) for row in newest.values() if row["verdict"] == "partial"]
    built = lake.built("silver.prices_daily")
    unshown = (
        []
        if built is None
        else [(row, stale) for row in newest_change.values() if (stale := _first_stale(lake, row, built)) is not None]
    )
    unshown += _still_shown(lake, [row for row in verdicts if row["verdict"] not in ACCEPTED_VERDICTS])
    pending = [
        PendingRestatement(
            ticker=row["ticker"],
            file_sha256=row["file_sha256"],
            fetched_ts=row["fetched_ts"],
            recompute_from_date=first,
            needs_whole_history=number < len(waiting),
        )
        for number, (row, first) in enumerate((*waiting, *unshown))
    ]
    return sorted(pending, key=lambda restatement: (restatement.fetched_ts, restatement.ticker))


def _first_stale(lake: "Lake", change: Mapping[str, Any], built: Window) -> date | None:
    """The first built session that a download changes and that does not show it yet; None when there is none.

    `built` spans the bars of all tickers. What was never built has nothing to show. A restatement changes everything up
    to some session, so that the first of the built bars speaks for all.
    """
    from pyiceberg.expressions import And, EqualTo, GreaterThanOrEqual

    def bars(address: str, *also: "BooleanExpression") -> list[dict[str, Any]]:
        wanted = And(EqualTo("ticker", change["ticker"]), *also)
        flag = ("is_contested",) if address == "silver.prices_daily" else ()
        return list(lake.rows(address, wanted, ("session_date", "fetched_ts", *BAR_COLUMNS, *flag)).to_pylist())

    since = max(change["recompute_from_date"], built.start).isoformat()
    # Nearly always the first bar is there, and the history after it need not be read.
    candidates = bars("silver.prices_daily", EqualTo("session_date", since)) or bars(
        "silver.prices_daily", GreaterThanOrEqual("session_date", since)
    )
    first = min(candidates, key=lambda bar: bar["session_date"], default=None)
    if str(change["recompute_from_date"]) == since and (first is None or str(first["session_date"]) != since):
        silent = f"{change['carried_dates']},{change['unproven_dates']}".split(",")
        added = EqualTo("file_sha256", change["file_sha256"]), EqualTo("session_date", since)
        if since <= built.end.isoformat() and since not in silent and bars("bronze.stooq_prices", *added):
            return change["recompute_from_date"]  # type: ignore[no-any-return]
    if first is None or first["fetched_ts"] >= change["fetched_ts"]:
        return None
    contested = f"{change['carried_dates']},{change['corrected_dates']}".split(",")
    if str(first["session_date"]) in contested:
        return None if first["is_contested"] else first["session_date"]
    stated = bars(
        "bronze.stooq_prices",
        EqualTo("file_sha256", change["file_sha256"]),
        EqualTo("session_date", first["session_date"].isoformat()),
    )
    is_changed = any(bar[name] != first[name] for bar in stated for name in BAR_COLUMNS)
    return first["session_date"] if is_changed else None


def _still_shown(lake: "Lake", unused: list[dict[str, Any]]) -> list[tuple[dict[str, Any], date]]:
    """Downloads that no longer speak and the first session whose published bar is still theirs."""
    from pyiceberg.expressions import In

    if not unused:
        return []
    by_file = {(row["ticker"], row["file_sha256"]): row for row in unused}
    shown = lake.rows(
        "silver.prices_daily",
        In("file_sha256", sorted({sha256 for _, sha256 in by_file})),
        ("ticker", "file_sha256", "session_date"),
    ).to_pylist()
    first: dict[tuple[str, str], date] = {}
    for bar in shown:
        key = (bar["ticker"], bar["file_sha256"])
        if key in by_file:
            first[key] = min(bar["session_date"], first.get(key, date.max))
    return [(by_file[key], day) for key, day in sorted(first.items())]
