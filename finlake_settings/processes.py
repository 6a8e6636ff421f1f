"""The settings of each process, as one model: it asks for no setting that it does not use.

Belongs here: models of processes, rules between settings. Does not belong here: the settings themselves (groups.py).
"""

from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, model_validator

from finlake_settings.checkout import STATE_FOLDER
from finlake_settings.declaration import AbsolutePath, EngineName, EnvironmentName, HttpAddress, Setting, SourcesName
from finlake_settings.groups import (
    S3,
    Alert,
    Catalog,
    Connect,
    DagsterLogin,
    DagsterPages,
    FeedMarket,
    Kafka,
    ReaderClickHouse,
    ReconcileMarket,
    ServingClickHouse,
    SinkClickHouse,
    Spark,
    StreamRecords,
)
from finlake_settings.local_stack import LOOPBACK
from finlake_settings.variable_names import variable
from finlake_settings.vendors import BatchVendors, Finnhub

Universe = Annotated[
    Path,
    Setting(
        about="the file of the tickers with their vendors' symbols and names in the news", everywhere="{checkout}/universe.toml"
    ),
]


class ProcessSettings(BaseModel):
    """What defaults depend on. reading.py makes a model from variables."""

    model_config = ConfigDict(frozen=True)

    environment: Annotated[
        EnvironmentName,
        Setting(
            about="where this process runs; outside `local`, services have no defaults", everywhere="local", is_of_stack=True
        ),
    ]
    sources: Annotated[
        SourcesName,
        Setting(about="the vendors themselves, or the sample sources that speak as they do", local="sample", cluster="live"),
    ]
    home: Annotated[
        AbsolutePath,
        Setting(
            about="state folder: data, logs, passwords and downloads of a local stack",
            everywhere=f"{{checkout}}/{STATE_FOLDER}",
            is_of_stack=True,
        ),
    ]

    @model_validator(mode="after")
    def _suits_its_environment(self) -> Self:
        RULES[self.environment](self)
        return self


def _any_sources(_: ProcessSettings) -> None:
    """Sample data may be looked at here."""


def _live_sources(settings: ProcessSettings) -> None:
    if settings.sources != "live":
        raise ValueError(f"{variable('sources')} is {settings.sources}, and production must not read sample data; set it to live")


# One rule for each environment, whatever else its variables say.
RULES: Mapping[EnvironmentName, Callable[[ProcessSettings], None]] = {
    "local": _any_sources,
    "staging": _any_sources,
    "production": _live_sources,
}


class VendorSettings(ProcessSettings):
    """Where sample sources answer, from which the addresses of vendors follow."""

    sample_sources_url: Annotated[
        HttpAddress | None,
        Setting(
            about="where the sample sources answer", live=None, local=f"http://{LOOPBACK}:{{sample_sources}}", is_of_stack=True
        ),
    ]


class LakeSettings(ProcessSettings):
    """The lake: its catalog, files and engine."""

    catalog: Catalog
    warehouse: Annotated[str, Setting(about="where the lake's files are, file:// or s3://", local="file://{home}/warehouse")]
    engine: Annotated[
        EngineName,
        Setting(
            about="what computes the lake: Sail in the process of each job, or Apache Spark for data beyond a machine",
            local="embedded",
            cluster="spark",
        ),
    ]
    spark: Spark
    s3: S3

    @property
    def locations(self) -> tuple[str, ...]:
        """Places of files that may be in an S3-compatible store."""
        return (self.warehouse,)

    @property
    def uses_s3(self) -> bool:
        """Whether any of the files is in an S3-compatible store."""
        return any(location.startswith("s3://") for location in self.locations)

    @model_validator(mode="after")
    def _knows_its_store(self) -> Self:
        names = ("endpoint", "access_key_file", "secret_key_file")
        missing = [variable("s3", name) for name in names if getattr(self.s3, name) is None]
        if self.uses_s3 and missing:
            raise ValueError(f"an s3:// location needs {', '.join(missing)}; set them")
        return self


class ReconciliationSettings(ProcessSettings):
    """The engines that hold the same trades."""

    market: ReconcileMarket
    kafka: Kafka
    clickhouse: ReaderClickHouse


class DagsterSettings(BatchVendors, LakeSettings, VendorSettings, ReconciliationSettings):
    """Dagster's code location: everything that assets, checks and sensors reach."""

    unattended: Annotated[
        bool, Setting(about="whether schedules, sensors and automation start by themselves", sample="false", live="true")
    ]
    universe: Universe
    dagster: DagsterPages
    stream: StreamRecords
    connect: Connect
    clickhouse: ServingClickHouse
    alert: Alert

    @property
    def locations(self) -> tuple[str, ...]:
        """The lake's, and the drop folder."""
        return (*super().locations, self.stooq.drop)

    @property
    def history_start(self) -> date:
        """The first session of the lake."""
        return date(2000, 1, 3)

    @property
    def sources_end_date(self) -> date | None:
        """The last session that the sources know, None when they go on."""
        return date(2018, 3, 27) if self.sources == "sample" else None

    @property
    def sources_holes(self) -> frozenset[date]:
        """Sessions before that of which the sources have no bar, although the exchange traded."""
        return frozenset({date(2017, 11, 8)}) if self.sources == "sample" else frozenset()


class FeedSettings(VendorSettings):
    """The trade feed: from Finnhub to Postgres."""

    universe: Universe
    finnhub: Finnhub
    market: FeedMarket


class SinkSettings(ProcessSettings):
    """The sink: from Kafka to ClickHouse."""

    kafka: Kafka
    clickhouse: SinkClickHouse


class KeeperSettings(ProcessSettings):
    """The keeper of change capture."""

    connect: Connect


class SampleSourcesSettings(ProcessSettings):
    """The sample sources."""

    universe: Universe


class _EveryMarket(FeedMarket, ReconcileMarket):
    """For whoever may be anyone."""


class _EveryClickHouse(ServingClickHouse, SinkClickHouse):
    """For whoever may be anyone."""


class Settings(DagsterSettings, FeedSettings, SinkSettings, KeeperSettings, SampleSourcesSettings):
    """Every setting: for the commands of `finlake`, which may act as any process of a local stack."""

    dagster: DagsterLogin
    market: _EveryMarket
    clickhouse: _EveryClickHouse


PROCESSES: Mapping[str, type[ProcessSettings]] = {
    "dagster": DagsterSettings,
    "trade_feed": FeedSettings,
    "clickhouse_sink": SinkSettings,
    "capture_keeper": KeeperSettings,
    "sample_sources": SampleSourcesSettings,
    "finlake": Settings,
}
"""The models by the name of the process, `finlake` being the command line."""
