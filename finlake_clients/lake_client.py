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

from finlake_clients import price_ledgers
from finlake_clients.object_store import object_store
from finlake_clients.price_ledgers import DownloadVerdict, PendingRestatement
from finlake_clients.secret_files import secret_of
from finlake_clients.service_client import ServiceClient, path_text
from finlake_clients.service_errors import ServiceUnavailableError
from finlake_settings.processes import LakeSettings
from spark.contracts import lake as contracts
from spark.contracts import silver
from spark.contracts.column_sums import TableSums, spark_sums, sums_of
from spark.contracts.engine import Engine
from spark.contracts.report import BarGap, CheckOutcome, JobReport, OffsetRange, Provenance, Window
from spark.contracts.table import JobInputs
from spark.contracts.universe import Universe

if TYPE_CHECKING:
    from spark.lake.storage import Lake

P = ParamSpec("P")
R = TypeVar("R")

UpkeepAction = Literal["compact", "expire", "orphans", "branches"]


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
    later is safe and makes a new session.
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
        return price_ledgers.price_verdicts(self.lake())

    def downloads(self) -> list[dict[str, Any]]:
        """The rows of bronze.stooq_downloads, oldest first."""
        return price_ledgers.downloads(self.lake())

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
        price_ledgers.decide(
            self.lake(),
            ticker=ticker,
            file_sha256=file_sha256,
            source_name=source_name,
            decision=decision,
            reason=reason,
            decided_by=decided_by,
            decided_ts=decided_ts,
        )

    def shown_span(self, first: date, last: date) -> tuple[date, date]:
        """The sessions to build again so that prices show a download of these dates, up to the newest that is built or its own.

        Nothing is built before the first session that was.
        """
        built = self.lake().built("silver.prices_daily")
        return (first, last) if built is None else (max(first, built.start), max(last, built.end))

    def price_jumps(self, window: Window | None) -> list[dict[str, str]]:
        """Stretches of published bars that leap and come back without the trading for it, with the name of their file."""
        return price_ledgers.price_jumps(self.lake(), window)

    def stale_tails(self, window: Window | None) -> list[dict[str, str]]:
        """Tickers whose newest published bars repeat one price without a share traded, with the name of their file."""
        return price_ledgers.stale_tails(self.lake(), window)

    def pending_restatements(self) -> list[PendingRestatement]:
        """What the newest restatement of each ticker still asks for, oldest first."""
        return price_ledgers.pending_restatements(self.lake())

    def upkeep(self, action: UpkeepAction, address: str) -> Mapping[str, int]:
        """Tidy one table: `compact` small files, `expire` old snapshots, remove `orphans`, drop stale audit `branches`."""
        from spark.upkeep import ACTIONS

        return ACTIONS[action](self.lake(), contracts.table(address))

    def _catalog_properties(self) -> dict[str, str]:
        """pyiceberg's properties of the catalog and the store, with their secrets."""
        from sqlalchemy.engine import make_url

        uri = make_url(self.catalog_uri).set(password=secret_of("postgres", Path(self.catalog_password_file)))
        # A connection that Postgres ended meanwhile is replaced instead of failing who takes it next.
        properties = {"uri": uri.render_as_string(hide_password=False), "pool_pre_ping": "true"}
        if self.s3_endpoint and self.s3_access_key_file and self.s3_secret_key_file:
            properties |= {
                "s3.endpoint": self.s3_endpoint,
                "s3.region": self.s3_region or "us-east-1",
                "s3.access-key-id": secret_of("the object store", Path(self.s3_access_key_file)),
                "s3.secret-access-key": secret_of("the object store", Path(self.s3_secret_key_file)),
            }
        return properties
