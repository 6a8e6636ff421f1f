"""silver.price_restatements: judge every download whose verdict does not stand yet, against what was known before it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Any

import polars as pl
import pyarrow as pa
from pyiceberg.expressions import And, BooleanExpression, GreaterThanOrEqual, In, Or

from spark.contracts import bronze, silver
from spark.contracts.job_inputs import PriceRestatementsInputs
from spark.contracts.report import JobReport, Provenance, TableReport, Window
from spark.jobs.distribute import Scan, map_by_ticker
from spark.jobs.quarantine import Quarantined, quarantine
from spark.lake.storage import Lake, between
from spark.transforms.quarantine import Rejection, rejections_table
from spark.transforms.silver.price_restatements import files_of, judge_all, kept, standing_decisions

TABLE = silver.PRICE_RESTATEMENTS
KEY = ["ticker", "file_sha256"]
PRICES, DOWNLOADS, DECISIONS = (bronze.STOOQ_PRICES.address, bronze.STOOQ_DOWNLOADS.address, silver.PRICE_DECISIONS.address)
REASONS = {
    "rejected": "inconsistent_download",
    "partial": "partial_restatement",
    "older": "older_download",
    "dropped": "dropped_download",
}


def run(lake: Lake, window: Window, provenance: Provenance, inputs: PriceRestatementsInputs) -> JobReport:
    """One verdict per download; of each ticker those are given (again) that follow the first change of what they stand on.

    Changes are new downloads, also such as arrive late with an early time, downloads withdrawn from the ledger, decisions
    of people, and a new version of the rule. Rows on days without a session take no part. The window decides nothing.
    """
    snapshots = {address: lake.snapshot_id(address) for address in (PRICES, DOWNLOADS, DECISIONS)}
    ledger = _polars(lake.rows(DOWNLOADS, snapshot_id=snapshots[DOWNLOADS])).filter(pl.col("row_count") > 0)
    decisions = _polars(lake.rows(DECISIONS, snapshot_id=snapshots[DECISIONS]))
    verdicts = _polars(lake.rows(TABLE.address))
    changes = _changes(ledger, verdicts, decisions)
    if not changes:
        return JobReport(
            tables=(TableReport(address=TABLE.address, row_count=0, is_changed=False),),
            input_snapshots=snapshots,
            notes=("no new download and no new decision",),
        )
    open_ = [(ticker, sha256) for ticker, change in changes.items() for sha256 in change.open]
    new = ledger.join(pl.DataFrame(open_, schema=dict.fromkeys(KEY, pl.String), orient="row"), on=KEY, how="semi")
    gone = verdicts.join(
        pl.DataFrame(
            [(ticker, sha256) for ticker, change in changes.items() for sha256 in change.gone],
            schema=dict.fromkeys(KEY, pl.String),
            orient="row",
        ),
        on=KEY,
        how="semi",
    )
    judged = _judge(lake, new, changes, ledger, verdicts, decisions, snapshots, inputs.sessions)
    judged = judged.join(new, on=KEY, how="semi")
    replaced = pl.concat([judged.select(KEY), gone.select(KEY)]).unique()
    # A content that was read again has another time now than in the verdict that is replaced.
    before = verdicts.join(replaced, on=KEY, how="semi")
    oldest = pl.concat([judged["fetched_ts"], before["fetched_ts"]]).min()
    report = lake.replace_rows(
        TABLE.address,
        judged.to_arrow(),
        provenance=provenance,
        input_snapshots=snapshots,
        replaced=And(
            GreaterThanOrEqual("fetched_ts", oldest),
            In("ticker", sorted(set(replaced["ticker"]))),
            In("file_sha256", sorted(set(replaced["file_sha256"]))),
        ),
    )
    kept_out = _quarantine_unusable(lake, judged, replaced, ledger, provenance)
    changing = judged.filter(pl.col("verdict").is_in(silver.ACCEPTED_VERDICTS), pl.col("recompute_from_date").is_not_null())
    changed = changing.group_by("ticker").agg(pl.col("recompute_from_date").min())
    return JobReport(
        tables=(report, kept_out.report),
        quarantined_count=kept_out.count,
        quarantine_samples=kept_out.samples,
        input_snapshots=snapshots,
        recompute_from=dict(changed.iter_rows()),
        notes=tuple(
            f"{row['ticker']}: {row['message']}"
            for row in judged.iter_rows(named=True)
            if row["recompute_from_date"] is not None
            or row["unproven_dates"] is not None
            or row["verdict"] not in silver.ACCEPTED_VERDICTS
        ),
    )


@dataclass(frozen=True, kw_only=True)
class _Change:
    """Hashes of a ticker's files to be judged, and of those that have a verdict and are no more.

    `is_late` when a file that had a verdict is among them: what it stands on has changed.
    """

    open: tuple[str, ...]
    gone: tuple[str, ...]
    is_late: bool


def _changes(ledger: pl.DataFrame, verdicts: pl.DataFrame, decisions: pl.DataFrame) -> dict[str, _Change]:
    """Tickers with something to judge."""

    def by_ticker(rows: pl.DataFrame) -> dict[object, pl.DataFrame]:
        return {key[0]: part for key, part in rows.partition_by("ticker", as_dict=True).items()}

    files, judged, decided = by_ticker(ledger), by_ticker(verdicts), by_ticker(decisions)
    changes = {}
    for ticker in sorted({str(each) for each in (*files, *judged)}):
        own = judged.get(ticker, verdicts.head(0))
        named = files_of(files.get(ticker, ledger.head(0)))
        count = kept(named, own, standing_decisions(decided.get(ticker)))
        hashes, known = [sha256 for _, sha256, _, _ in named], set(own["file_sha256"])
        change = _Change(open=tuple(hashes[count:]), gone=tuple(sorted(known - set(hashes))), is_late=len(known) > count)
        if change.open or change.gone:
            changes[ticker] = change
    return changes


def _judge(
    lake: Lake,
    new: pl.DataFrame,
    changes: Mapping[str, _Change],
    ledger: pl.DataFrame,
    verdicts: pl.DataFrame,
    decisions: pl.DataFrame,
    snapshots: Mapping[str, int],
    sessions: Sequence[date],
) -> pl.DataFrame:
    """Verdicts ticker by ticker, from the dates that the new downloads span (all dates of late tickers)."""
    if new.is_empty():
        return verdicts.head(0)
    tickers = sorted(set(new["ticker"]))
    late = [ticker for ticker, change in changes.items() if change.is_late]
    first: date = new["first_session_date"].min()  # type: ignore[assignment]
    last: date = new["last_session_date"].max()  # type: ignore[assignment]
    dated: BooleanExpression = between("session_date", Window(start=first, end=last))
    bars = Scan(
        address=PRICES,
        snapshot_id=snapshots[PRICES],
        order=("fetched_ts", "file_sha256", "session_date"),
        where=And(In("ticker", tickers), Or(dated, In("ticker", late)) if late else dated),
    )
    known = _polars(lake.rows(DOWNLOADS, columns=KEY, snapshot_id=snapshots[DOWNLOADS]))
    of_these = pl.col("ticker").is_in(tickers)
    kernel = partial(
        _judge_ticker,
        known=known,
        ledger=ledger.filter(of_these),
        verdicts=verdicts.filter(of_these),
        decisions=decisions.filter(of_these),
        sessions=sessions,
    )
    return _polars(map_by_ticker(lake, bars, kernel, TABLE).toArrow())


def _judge_ticker(
    downloads: pl.DataFrame,
    known: pl.DataFrame,
    ledger: pl.DataFrame,
    verdicts: pl.DataFrame,
    decisions: pl.DataFrame,
    sessions: Sequence[date],
) -> pl.DataFrame:
    own = pl.col("ticker") == downloads["ticker"][0]
    # Rows of a file that is not in the ledger belong to a run that died; they do not count.
    downloads = downloads.join(known, on=KEY, how="semi", maintain_order="left")
    if downloads.is_empty():
        return verdicts.head(0)
    return judge_all(downloads, verdicts.filter(own), sessions, ledger.filter(own), decisions.filter(own))


def _quarantine_unusable(
    lake: Lake, judged: pl.DataFrame, replaced: pl.DataFrame, ledger: pl.DataFrame, provenance: Provenance
) -> Quarantined:
    """One quarantine row per download that is not used, naming its file; `replaced` are the files judged or withdrawn."""
    unusable = (
        judged.filter(~pl.col("verdict").is_in(silver.ACCEPTED_VERDICTS))
        .unique(KEY, maintain_order=True)
        .join(ledger.select(*KEY, "last_session_date"), on=KEY, maintain_order="left")
    )
    references = sorted({f"{ticker} {sha256}" for ticker, sha256 in replaced.select(KEY).iter_rows()})
    return quarantine(
        lake,
        rejections_table(_rejection(row) for row in unusable.iter_rows(named=True)),
        source_table=TABLE.address,
        provenance=provenance,
        replaced=In("reference", references),
    )


def _rejection(row: dict[str, Any]) -> Rejection:
    return Rejection(
        source_table=TABLE.address,
        source_name=row["source_name"],
        reference=f"{row['ticker']} {row['file_sha256']}",
        reason=REASONS[row["verdict"]],
        message=row["message"],
        raw_text="",
        ticker=row["ticker"],
        day_date=row["last_session_date"],
    )


def _polars(rows: pa.Table) -> pl.DataFrame:
    return pl.DataFrame(pl.from_arrow(rows))
