"""bronze.gdelt_gkg and bronze.gdelt_slots: every 15-minute slot of the days, fetched once and accounted for."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg

from finlake_assets.asset_specs import described_by
from finlake_assets.partitions import Timeline
from finlake_assets.run_table_job import StepEvents, fail_for_good, publish
from finlake_clients.calendar import NEW_YORK
from finlake_clients.gdelt.feed import GdeltSlot
from finlake_clients.source_errors import SourceRefusedError
from finlake_resources.resources import LakeResource, UniverseResource
from finlake_resources.vendors import GdeltResource
from spark.contracts import bronze
from spark.contracts.job_inputs import GdeltGkgInputs
from spark.contracts.report import Window
from spark.contracts.universe import Universe

Clock = Callable[[], datetime]


class DayNotOverError(ValueError):
    """A day of which slots are still to come; the message names the newest day that can be fetched."""


def utc_now() -> datetime:
    """The present."""
    return datetime.now(UTC)


def build(timeline: Timeline, clock: Clock = utc_now) -> dg.AssetsDefinition:
    """The asset of both tables: the slots are the ledger of the records."""

    @dg.multi_asset(**described_by(bronze.GDELT_GKG, timeline=timeline))
    def gdelt_gkg(
        context: dg.AssetExecutionContext,
        jobs: LakeResource,
        gdelt: GdeltResource,
        universe: UniverseResource,
    ) -> StepEvents:
        """Slots already loaded with the present universe are not fetched again; each day names those still missing."""
        missing: dict[str, list[str]] = defaultdict(list)

        def fetched(window: Window) -> GdeltGkgInputs:
            refuse_days_to_come(window, clock())
            tickers = universe.read()
            return GdeltGkgInputs(slots=noted(slots_of(window, gdelt, jobs, tickers), missing), universe=tickers)

        def missing_slots(day: str) -> dict[str, str]:
            return {"missing_slots": ", ".join(missing[day]) or "none"}

        try:
            yield from publish(context, jobs, bronze.GDELT_GKG, inputs=fetched, describe_day=missing_slots)
        except (SourceRefusedError, DayNotOverError) as refusal:
            fail_for_good(str(refusal))

    return gdelt_gkg


def refuse_days_to_come(window: Window, now: datetime) -> None:
    """Raise `DayNotOverError` unless every slot of the window has come to be: one that has not would be recorded as absent."""
    over = now.astimezone(NEW_YORK).date() - timedelta(days=1)
    if window.end > over:
        first = max(window.start, over + timedelta(days=1))
        raise DayNotOverError(
            f"{first} to {window.end}: the news of a day are fetched when it is over in New York; {over} is the "
            "newest that is. Nothing was recorded; run the days up to it"
        )


def slots_of(window: Window, gdelt: GdeltResource, jobs: LakeResource, universe: Universe) -> Iterator[GdeltSlot]:
    """The slots of the window's days that are not loaded yet, day by day, as they arrive."""
    for day in window.days:
        yield from gdelt.fetch_day(day, skip=jobs.loaded_slots(day, universe))


def noted(slots: Iterator[GdeltSlot], missing: dict[str, list[str]]) -> Iterator[GdeltSlot]:
    """Pass the slots on and note the absent and corrupt ones under their day, New York time."""
    for slot in slots:
        if slot.status in ("absent", "corrupt"):
            local = slot.label_ts.astimezone(NEW_YORK)
            missing[local.date().isoformat()].append(f"{slot.label_ts:%Y-%m-%d %H:%M}Z {slot.status}")
        yield slot
