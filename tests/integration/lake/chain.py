"""The lake's jobs run by hand in the order of the graph, over small inputs, and rows compared by their bits."""

import hashlib
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from urllib.parse import urlsplit

import pyarrow as pa

from finlake_assets.sources import closed_days, last_closed
from finlake_clients.calendar import TradingCalendar
from finlake_clients.gdelt.feed import GdeltSlot
from finlake_clients.lake_client import LakeClient
from finlake_clients.stooq.prices_file import StooqFile
from finlake_code_locations.build import asset_module
from finlake_services.sample_sources import archive, news, prices
from finlake_settings.checkout import CHECKOUT
from finlake_settings.processes import Settings
from finlake_settings.reading import settings_from
from spark.contracts import lake as contracts
from spark.contracts.job_inputs import GdeltGkgInputs, StooqPricesInputs, TablesAlone
from spark.contracts.report import JobReport, Provenance, Window
from spark.contracts.table import JobInputs
from spark.contracts.universe import Universe, parse_universe
from spark.lake.storage import Lake

PROVENANCE = Provenance(run_id="11111111-2222-3333-4444-555555555555", partition="a-partition", code_version="a-version")


def settings_of(environment: Mapping[str, str]) -> Settings:
    """What FINLAKE_* variables say, and nothing of the caller's shell."""
    return settings_from(Settings, environment)


def jobs_of(environment: Mapping[str, str]) -> LakeClient:
    """The jobs of the lake that FINLAKE_* variables describe."""
    return LakeClient.of(settings_of(environment))


def empty(lake: Lake) -> None:
    """Drop every table and its files."""
    for address in contracts.TABLES:
        if lake.catalog.table_exists(address):
            location = lake.catalog.load_table(address).location()
            lake.catalog.drop_table(address)
            if location.startswith("file:"):
                shutil.rmtree(urlsplit(location).path)


def universe(*symbols: str) -> Universe:
    """The project's universe, cut to these symbols."""
    whole = parse_universe((CHECKOUT / "universe.toml").read_text(encoding="utf-8"))
    return Universe(tickers=tuple(ticker for ticker in whole.tickers if ticker.symbol in symbols))


def price_file(ticker: str, bars: Sequence[prices.Bar], fetched: date) -> StooqFile:
    """A dropped file of these bars."""
    return dropped(ticker, prices.csv_body(bars), fetched)


def dropped(ticker: str, content: bytes, fetched: date) -> StooqFile:
    """A dropped file of these bytes, with the midnight of a day as its modification time."""
    return StooqFile(
        ticker=ticker,
        content=content,
        sha256=hashlib.sha256(content).hexdigest(),
        source_kind="drop",
        source_name=f"{ticker.lower()}_us_d.csv",
        fetched_ts=datetime(fetched.year, fetched.month, fetched.day, tzinfo=UTC),
    )


def generated_slot(label: datetime) -> GdeltSlot:
    """A slot of the sample sources as the connector would hand it over."""
    listed = archive.listed(label)
    return GdeltSlot(
        label_ts=label,
        status="loaded",
        md5=listed.md5,
        zip_bytes=listed.size,
        content=news.slot_rows(label),
        source_url="",
        attempts=1,
    )


@dataclass(frozen=True)
class Chain:
    """The jobs with the inputs that the assets would give them."""

    jobs: LakeClient
    universe: Universe
    calendar: TradingCalendar = field(default_factory=TradingCalendar)

    def load_prices(self, *files: StooqFile) -> JobReport:
        """Ingest files and judge those that are new."""
        window = Window(start=date(2000, 1, 3), end=max(file.fetched_ts.date() for file in files))
        report = self.run(self.price_inputs(*files), window)
        self.build("silver.price_restatements", window)
        return report

    def price_inputs(self, *files: StooqFile) -> StooqPricesInputs:
        """What the step of prices is given for these files."""
        return StooqPricesInputs(
            files=files,
            problems=[],
            universe=self.universe,
            last_closed=last_closed(files, self.calendar),
            closed_days=closed_days(self.calendar),
        )

    def load_slots(self, slots: Iterable[GdeltSlot]) -> JobReport:
        """Ingest slots in label order."""
        ordered = sorted(slots, key=lambda slot: slot.label_ts)
        days = [slot.label_ts.date() for slot in ordered]
        window = Window(start=min(days), end=max(days))
        return self.run(GdeltGkgInputs(slots=ordered, universe=self.universe), window)

    def build(self, address: str, window: Window) -> JobReport:
        """Build a silver or gold table over a window, given what its asset would give."""
        inputs_of = getattr(asset_module(contracts.table(address)), "inputs", None)
        inputs = TablesAlone(table=contracts.table(address)) if inputs_of is None else inputs_of(window, self.calendar, self)
        return self.run(inputs, window)

    def run(self, inputs: JobInputs, window: Window) -> JobReport:
        """Run a job with exactly these inputs."""
        return self.jobs.run(inputs, window=window, provenance=PROVENANCE)

    def read(self) -> Universe:
        """The universe, where an asset would read the file."""
        return self.universe


def published(lake: Lake, address: str, without: Sequence[str] = ()) -> pa.Table:
    """The rows of `main` in the order of their key, doubles as their 64 bits: equal only when every bit is."""
    contract = contracts.table(address)
    columns = [name for name in contract.column_names if name not in without]
    rows = lake.rows(address, columns=contract.column_names).sort_by([(name, "ascending") for name in contract.grain])
    return pa.table({name: bits(rows[name].combine_chunks()) for name in columns})


def bits(values: pa.Array) -> pa.Array:
    """Doubles as the integers with the same bits; anything else as it is."""
    return values.view(pa.int64()) if values.type == pa.float64() else values
