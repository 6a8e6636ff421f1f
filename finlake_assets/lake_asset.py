"""The asset of a table whose step runs the table's job and does nothing else: one statement per module.

Does not belong here: what fetches (finlake_assets/bronze) or what the stream's requests ask for (archive.py).
"""

from collections.abc import Callable
from typing import Protocol

import dagster as dg

from finlake_assets.asset_specs import described_by
from finlake_assets.partitions import Timeline
from finlake_assets.run_table_job import StepEvents, publish
from finlake_clients.calendar import TradingCalendar
from finlake_resources.resources import LakeResource, UniverseResource
from spark.contracts.report import Window
from spark.contracts.table import JobInputs, Table
from spark.contracts.universe import Universe

AssetBuilder = Callable[[Timeline], dg.AssetsDefinition]


class UniverseSource(Protocol):
    """Where the universe is read, when it is needed."""

    def read(self) -> Universe:
        """The universe as it is now."""
        ...


InputsOf = Callable[[Window, TradingCalendar, UniverseSource], JobInputs]
"""What a job is given for a window, of the exchange's calendar and the universe file."""


def lake_asset(table: Table, inputs: InputsOf | None = None) -> AssetBuilder:
    """The builder of the asset of `table`; `inputs` gives what its job needs besides tables."""

    def build(timeline: Timeline) -> dg.AssetsDefinition:
        if inputs is None:
            return _of_tables_alone(table, timeline)
        return _with_inputs(table, timeline, inputs)

    return build


def _of_tables_alone(table: Table, timeline: Timeline) -> dg.AssetsDefinition:
    @dg.multi_asset(**described_by(table, timeline=timeline))
    def step(context: dg.AssetExecutionContext, jobs: LakeResource) -> StepEvents:
        yield from publish(context, jobs, table)

    return step


def _with_inputs(table: Table, timeline: Timeline, inputs: InputsOf) -> dg.AssetsDefinition:
    @dg.multi_asset(**described_by(table, timeline=timeline))
    def step(context: dg.AssetExecutionContext, jobs: LakeResource, universe: UniverseResource) -> StepEvents:
        yield from publish(context, jobs, table, inputs=lambda window: inputs(window, timeline.calendar, universe))

    return step
