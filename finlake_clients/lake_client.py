"""The lake and its jobs: a job's inputs go down, counts, snapshots and checks come up.

Belongs here: which module carries out which job, and the questions assets ask the lake's ledgers.
Does not belong here: computation or commits; pyspark and pyiceberg are imported when a verb runs.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import wraps
from importlib import import_module
from inspect import isfunction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, Self, TypeVar
from uuid import uuid4

from finlake_clients.object_store import object_store
from finlake_clients.secret_files import secret_of
from finlake_clients.service_client import ServiceClient, path_text
from finlake_clients.service_errors import ServiceUnavailableError
from finlake_settings.processes import LakeSettings
from spark.contracts import lake as contracts
from spark.contracts import silver
from spark.contracts.bronze import BAR_COLUMNS
from spark.contracts.column_sums import TableSums, spark_sums, sums_of
from spark.contracts.engine import Engine
from spark.contracts.job_inputs import JobInputs
from spark.contracts.report import BarGap, CheckOutcome, JobReport, OffsetRange, Provenance, Window
from spark.contracts.silver import ACCEPTED_VERDICTS, PRICE_DECISIONS
from spark.contracts.universe import Universe

if TYPE_CHECKING:
    from pyiceberg.expressions import BooleanExpression

    from spark.lake.storage import Lake

P = ParamSpec("P")
R = TypeVar("R")

UpkeepAction = Literal["compact", "expire", "orphans", "branches"]


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


@dataclass(frozen=True, kw_only=True)
class PublishedSnapshot:
    """Where `main` of a table is: its snapshot, the folder of the table, and the metadata file that makes it current.

    `metadata_path` is relative to `location`. `inputs` are the snapshots by address that it was built from.
    """

    address: str
    snapshot_id: int
    location: str
    metadata_path: str
    inputs: Mapping[str, int]


def _telling_outages(verb: "Callable[Concatenate[LakeClient, P], R]") -> "Callable[Concatenate[LakeClient, P], R]":
    """The verb, which raises `ServiceUnavailableError` when a server beneath the lake was away; its dead session is forgotten."""

    @wraps(verb)
    def asked(self: "LakeClient", /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return verb(self, *args, **kwargs)
        except ServiceUnavailableError:
            raise
        except Exception as error:
            from spark.lake.outages import SPARK, missing_server
            from spark.lake.session import forget

            server = missing_server(error)
            if server is None:
                raise
            if server == SPARK and self.engine == "embedded":
                from spark.lake import embedded

                # It lives in this process: nobody can start it but the next verb.
                embedded.stop()
                raise
            if server == SPARK:
                forget(self.spark_remote)
            where = self.spark_remote if server == SPARK else self.catalog_uri
            raise ServiceUnavailableError(server, where, error) from error

    return asked


def _all_telling_outages(resource: "type[LakeClient]") -> "type[LakeClient]":
    """The class with all of its public verbs telling outages, whichever are added."""
    for name, verb in list(vars(resource).items()):
        if isfunction(verb) and not name.startswith("_") and name != "lake":
            setattr(resource, name, _telling_outages(verb))
    return resource


@_all_telling_outages
class LakeClient(ServiceClient):
    """A lake and its jobs. Passwords and keys are read from files when the lake is opened.

    Every verb raises `ServiceUnavailableError` when Spark or the catalog's Postgres is away, or goes away meanwhile: trying again
    later is safe and makes a session anew.
    """

    catalog_uri: str
    catalog_password_file: str
    warehouse: str
    engine: Engine = "embedded"
    spark_remote: str
    spark_token_file: str | None = None
    s3_endpoint: str | None = None
    s3_region: str | None = None
    s3_access_key_file: str | None = None
    s3_secret_key_file: str | None = None

    @classmethod
    def of(cls, settings: LakeSettings) -> Self:
        """The lake of these settings; nothing is opened."""
        return cls(
            catalog_uri=settings.catalog.uri,
            catalog_password_file=str(settings.catalog.password_file),
            warehouse=settings.warehouse,
            engine=settings.engine,
            spark_remote=settings.spark.remote,
            spark_token_file=path_text(settings.spark.token_file),
            **object_store(settings),
        )

    def lake(self, *, for_one_job: bool = False) -> "Lake":
        """The lake, opened when first read or written; see `Lake`. Raises `SecretUnreadableError`."""
        from spark.lake.catalog import LakeLocation
        from spark.lake.storage import Lake

        has_token = self.engine == "spark" and self.spark_token_file is not None
        token = secret_of("spark_connect", Path(self.spark_token_file or "")) if has_token else None
        return Lake(
            LakeLocation(
                warehouse=self.warehouse,
                engine=self.engine,
                spark_remote=self.spark_remote,
                spark_token=token,
                catalog_properties=self._catalog_properties(),
            ),
            for_one_job=for_one_job,
        )

    def run(self, inputs: JobInputs, *, window: Window, provenance: Provenance) -> JobReport:
        """Carry out the job of the table that the inputs name over the window.

        Raises `AuditFailedError` when a blocking check failed (nothing was published) and `KeyError` for a table without a job.
        """
        address = inputs.table.address
        if inputs.table.step != address:
            raise KeyError(f"{address} has no job of its own; there are {', '.join(each.address for each in contracts.STEPS)}")
        report = import_module(f"spark.jobs.{address}").run(self.lake(for_one_job=True), window, provenance, inputs)
        if not isinstance(report, JobReport):
            raise TypeError(f"the job of {address} returned {type(report).__name__} instead of a JobReport")
        return report

    def check(self, address: str, window: Window | None = None) -> tuple[CheckOutcome, ...]:
        """The contract's checks over the published rows of a table."""
        return self.lake().check(address, window)

    def count_by_date(
        self, address: str, date_column: str, measure: str | None = None, window: Window | None = None
    ) -> dict[date, int]:
        """Published rows by a date column, or the sum of `measure` over them; `window` bounds the table's window dates."""
        grouped = self.lake().frame(address, window).groupBy(date_column)
        rows = (grouped.count() if measure is None else grouped.sum(measure)).collect()
        return {row[0]: row[1] for row in rows}

    def bar_gaps(self, now: datetime, window: Window | None = None) -> list[BarGap]:
        """Bars that are absent or should not be there, as of a moment (UTC), of a window or of all that was built."""
        import polars as pl
        from pyiceberg.expressions import And, In

        from spark.lake.storage import between
        from spark.transforms.silver.completeness import gaps

        address, wanted = silver.COMPLETENESS.address, In("status", ["absent", "unexpected"])
        rows = self.lake().rows(
            address,
            wanted if window is None else And(wanted, between("session_date", window)),
            ("ticker", "session_date", "status", "reason", "message", "due_ts", "overdue_ts"),
        )
        return [BarGap(**row) for row in gaps(pl.DataFrame(pl.from_arrow(rows)), now).iter_rows(named=True)]

    def empty_sessions(self, now: datetime, window: Window | None = None) -> tuple[list[date], int]:
        """Sessions whose bars are due by `now` and of which no expected ticker has one, and how many sessions were judged."""
        grouped = self.lake().frame(silver.COMPLETENESS.address, window).where("is_expected").groupBy("session_date", "due_ts")
        counted = [row for row in grouped.agg({"is_present": "max"}).collect() if row["due_ts"].astimezone(UTC) <= now]
        return sorted(row["session_date"] for row in counted if not row["max(is_present)"]), len(counted)

    def newest(self, address: str) -> date | None:
        """Largest window date of a table's published rows."""
        return self.lake().newest(address)

    def published(self, address: str) -> PublishedSnapshot:
        """Where `main` of a table is now, for engines that read the lake's files themselves.

        Raises `LookupError` for a table without a snapshot.
        """
        from spark.lake.snapshots import inputs_of

        table = self.lake().table(address)
        snapshot, location = table.current_snapshot(), table.location().rstrip("/")
        if snapshot is None:
            raise LookupError(f"{address} has no snapshot although it was created with one; run its step again")
        return PublishedSnapshot(
            address=address,
            snapshot_id=snapshot.snapshot_id,
            location=location,
            metadata_path=table.metadata_location.removeprefix(f"{location}/"),
            inputs=inputs_of(table),
        )

    def column_sums(self, address: str, snapshot_id: int) -> TableSums:
        """Exact sums of every column of a snapshot, to compare copies with."""
        contract = contracts.table(address)
        row = self.lake().frame(address, snapshot_id=snapshot_id).selectExpr(*spark_sums(contract)).first()
        return sums_of(contract, tuple(row or ()))

    def row_count(self, address: str, snapshot_id: int) -> int:
        """Rows of a snapshot, as its files tell."""
        return self.lake().table(address).scan(snapshot_id=snapshot_id).count()

    def archive_positions(self, address: str) -> dict[tuple[str, int], int]:
        """By topic and partition, the offset up to which a table of the stream shows everything; empty before its first rows."""
        return self.lake().positions(address)

    def offset_gaps(self, address: str) -> list[OffsetRange]:
        """Offsets that the archive of a topic lacks, as far back as snapshots are kept."""
        return self.lake().offset_gaps(address)

    def loaded_slots(self, day: date, universe: Universe) -> set[datetime]:
        """Slots of the day that were loaded, or found empty, with the present universe."""
        from pyiceberg.expressions import And, EqualTo, In

        wanted = And(
            EqualTo("day_date", day.isoformat()), EqualTo("universe_sha256", universe.sha256), In("status", ["loaded", "empty"])
        )
        return set(self.lake().rows("bronze.gdelt_slots", wanted, ("slot_ts",))["slot_ts"].to_pylist())

    def known_spans(self, symbols: Collection[str]) -> dict[str, tuple[date, date]]:
        """First and last session in any ingested file of each ticker; tickers without a file are absent."""
        rows = self.lake().rows("bronze.stooq_downloads", columns=("ticker", "first_session_date", "last_session_date"))
        spans: dict[str, tuple[date, date]] = {}
        for row in rows.to_pylist():
            ticker, first, last = row["ticker"], row["first_session_date"], row["last_session_date"]
            if ticker in symbols and first is not None:
                known_first, known_last = spans.get(ticker, (first, last))
                spans[ticker] = (min(first, known_first), max(last, known_last))
        return spans

    def last_known_session(self, symbols: Collection[str]) -> dict[str, date]:
        """Latest session any ingested file of a ticker reached; tickers without a file are absent."""
        return {ticker: last for ticker, (_, last) in self.known_spans(symbols).items()}

    def price_verdicts(self) -> list[DownloadVerdict]:
        """The verdict on every judged download, in the order in which they are judged."""
        rows = (
            self.lake()
            .rows(
                "silver.price_restatements",
                columns=("ticker", "fetched_ts", "file_sha256", "segment_number", "verdict", "message", "source_name"),
            )
            .to_pylist()
        )
        ends = {
            (row["ticker"], row["file_sha256"]): row["last_session_date"] or date.min
            for row in self.lake()
            .rows("bronze.stooq_downloads", columns=("ticker", "file_sha256", "last_session_date"))
            .to_pylist()
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

    def downloads(self) -> list[dict[str, Any]]:
        """The rows of bronze.stooq_downloads, oldest first."""
        rows = self.lake().rows("bronze.stooq_downloads").to_pylist()
        return sorted(rows, key=lambda row: (row["fetched_ts"], row["file_sha256"]))

    def decide(
        self,
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
        self.lake().replace_rows(
            PRICE_DECISIONS.address,
            pa.Table.from_pylist([row], arrow_schema(PRICE_DECISIONS)),
            replaced=And(
                EqualTo("ticker", ticker), EqualTo("file_sha256", file_sha256), EqualTo("decided_ts", decided_ts.isoformat())
            ),
            provenance=Provenance(run_id=uuid4().hex, partition="decision", code_version=""),
        )

    def shown_span(self, first: date, last: date) -> tuple[date, date]:
        """The sessions to build again so that prices show a download of these dates, up to the newest that is built or its own.

        Nothing is built before the first session that was.
        """
        built = self.lake().built("silver.prices_daily")
        return (first, last) if built is None else (max(first, built.start), max(last, built.end))

    def price_jumps(self, window: Window | None) -> list[dict[str, str]]:
        """Stretches of published bars that leap and come back without the trading for it, with the name of their file."""
        import polars as pl

        from spark.lake.storage import between
        from spark.transforms.silver.price_jumps import unexplained_jumps

        lake = self.lake()
        columns = ("ticker", "session_date", *BAR_COLUMNS, "file_sha256")
        rows = (
            lake.rows("silver.prices_daily", columns=columns)
            if window is None
            else lake.rows("silver.prices_daily", between("session_date", window), columns)
        )
        jumps = unexplained_jumps(pl.DataFrame(pl.from_arrow(rows)))
        names = {row["file_sha256"]: row["source_name"] for row in self.downloads()} if jumps else {}
        return [{**each, "source_name": names.get(each["file_sha256"], each["file_sha256"])} for each in jumps]

    def pending_restatements(self) -> list[PendingRestatement]:
        """What the newest restatement of each ticker still asks for, oldest first."""
        lake = self.lake()
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
            row["ticker"]: row
            for row in verdicts
            if row["verdict"] in ACCEPTED_VERDICTS and row["recompute_from_date"] is not None
        }
        waiting = [(row, first_known[row["ticker"]]) for row in newest.values() if row["verdict"] == "partial"]
        built = lake.built("silver.prices_daily")
        unshown = (
            []
            if built is None
            else [(row, stale) for row in newest_change.values() if (stale := self._first_stale(row, built)) is not None]
        )
        unshown += self._still_shown([row for row in verdicts if row["verdict"] not in ACCEPTED_VERDICTS])
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

    def _first_stale(self, change: Mapping[str, Any], built: Window) -> date | None:
        """The first built session that a download changes and that does not show it yet; None when there is none.

        `built` spans the bars of all tickers. What was never built has nothing to show. A restatement changes everything up
        to some session, so that the first of the built bars speaks for all.
        """
        from pyiceberg.expressions import And, EqualTo, GreaterThanOrEqual

        def bars(address: str, *also: "BooleanExpression") -> list[dict[str, Any]]:
            wanted = And(EqualTo("ticker", change["ticker"]), *also)
            flag = ("is_contested",) if address == "silver.prices_daily" else ()
            return list(self.lake().rows(address, wanted, ("session_date", "fetched_ts", *BAR_COLUMNS, *flag)).to_pylist())

        since = max(change["recompute_from_date"], built.start).isoformat()
        # Nearly always the first bar is there, and the history after it need not be read.
        candidates = bars("silver.prices_daily", EqualTo("session_date", since)) or bars(
            "silver.prices_daily", GreaterThanOrEqual("session_date", since)
        )
        first = min(candidates, key=lambda bar: bar["session_date"], default=None)
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

    def _still_shown(self, unused: list[dict[str, Any]]) -> list[tuple[dict[str, Any], date]]:
        """Downloads that no longer speak and the first session whose published bar is still theirs."""
        from pyiceberg.expressions import In

        if not unused:
            return []
        by_file = {(row["ticker"], row["file_sha256"]): row for row in unused}
        shown = (
            self.lake()
            .rows(
                "silver.prices_daily",
                In("file_sha256", sorted({sha256 for _, sha256 in by_file})),
                ("ticker", "file_sha256", "session_date"),
            )
            .to_pylist()
        )
        first: dict[tuple[str, str], date] = {}
        for bar in shown:
            key = (bar["ticker"], bar["file_sha256"])
            if key in by_file:
                first[key] = min(bar["session_date"], first.get(key, date.max))
        return [(by_file[key], day) for key, day in sorted(first.items())]

    def upkeep(self, action: UpkeepAction, address: str) -> Mapping[str, int]:
        """Tidy one table: `compact` small files, `expire` old snapshots, remove `orphans`, drop stale audit `branches`."""
        from spark.upkeep import ACTIONS

        return ACTIONS[action](self.lake(), contracts.table(address))

    def _catalog_properties(self) -> dict[str, str]:
        """pyiceberg's properties of the catalog and the store, with their secrets."""
        from sqlalchemy.engine import make_url

        uri = make_url(self.catalog_uri).set(password=secret_of("postgres", Path(self.catalog_password_file)))
        # A connection that Postgres ended meanwhile is made anew instead of failing who takes it next.
        properties = {"uri": uri.render_as_string(hide_password=False), "pool_pre_ping": "true"}
        if self.s3_endpoint and self.s3_access_key_file and self.s3_secret_key_file:
            properties |= {
                "s3.endpoint": self.s3_endpoint,
                "s3.region": self.s3_region or "us-east-1",
                "s3.access-key-id": secret_of("the object store", Path(self.s3_access_key_file)),
                "s3.secret-access-key": secret_of("the object store", Path(self.s3_secret_key_file)),
            }
        return properties
