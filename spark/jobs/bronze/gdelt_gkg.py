"""bronze.gdelt_gkg and bronze.gdelt_slots: the records that name the universe, and an account of every slot."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from itertools import groupby
from zoneinfo import ZoneInfo

import pyarrow as pa
from pyiceberg.expressions import And, BooleanExpression, In

from spark.contracts import bronze
from spark.contracts.connectors import Slot
from spark.contracts.job_inputs import GdeltGkgInputs
from spark.contracts.report import JobReport, Provenance, TableReport, Window
from spark.contracts.universe import Universe
from spark.jobs.quarantine import Quarantined, quarantine
from spark.lake.storage import Lake, between
from spark.schemas import arrow_schema
from spark.transforms.bronze.gdelt_gkg import ParsedSlot, parse
from spark.transforms.quarantine import Rejection, rejections_table
from spark.transforms.silver.company_names import Matcher

GKG, SLOTS = bronze.GDELT_GKG.address, bronze.GDELT_SLOTS.address
NEW_YORK = ZoneInfo("America/New_York")
COMMIT_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class _Account:
    """What became of a slot: its bytes are let go as soon as they are read."""

    label_ts: datetime
    parsed: ParsedSlot | None
    ledger_row: dict[str, object]
    corrupt_because: str | None


def run(lake: Lake, window: Window, provenance: Provenance, inputs: GdeltGkgInputs) -> JobReport:
    """Parse and keep slot by slot in label order; commit whole days, several at once while they are small.

    What the slots raise is raised, once the slots before it are kept.
    """
    matcher = Matcher.from_universe(inputs.universe)
    pending: list[_Account] = []
    commits: list[tuple[TableReport, TableReport, Quarantined]] = []
    missing: list[str] = []
    try:
        for _, day in groupby(inputs.slots, key=lambda slot: _day(slot.label_ts)):
            for slot in day:
                pending.append(_accounted(slot, matcher, inputs.universe))
                if slot.status not in ("loaded", "empty"):
                    missing.append(f"{slot.label_ts:%Y-%m-%d %H:%M}Z {slot.status}")
            if sum(slot.parsed.rows.nbytes for slot in pending if slot.parsed) > COMMIT_BYTES:
                commits.append(_commit(lake, provenance, pending))
                pending = []
    except Exception:
        # A source that ends the day keeps no slot out that it gave; the next run asks for the others.
        if pending:
            _commit(lake, provenance, pending)
        raise
    if pending or not commits:
        commits.append(_commit(lake, provenance, pending))
    return JobReport(
        tables=tuple(report for gkg, ledger, kept_out in commits for report in (gkg, ledger, kept_out.report)),
        quarantined_count=sum(kept_out.count for _, _, kept_out in commits),
        quarantine_samples=tuple(sample for _, _, kept_out in commits for sample in kept_out.samples)[:10],
        notes=(f"{len(missing)} slots missing: {', '.join(missing[:120])}",) if missing else (),
    )


def _commit(lake: Lake, provenance: Provenance, pending: list[_Account]) -> tuple[TableReport, TableReport, Quarantined]:
    """Rows first, the ledger last: a slot counts as loaded only when its rows are published."""
    labels = [slot.label_ts for slot in pending]
    good = [slot.parsed for slot in pending if slot.parsed]
    rows = pa.concat_tables([arrow_schema(bronze.GDELT_GKG).empty_table(), *(parsed.rows for parsed in good)])
    gkg = lake.replace_rows(GKG, rows, replaced=_of_slots(labels), provenance=provenance)
    rejected = pa.concat_tables([rejections_table(_corrupt_files(pending)), *(parsed.rejected for parsed in good)])
    kept_out = quarantine(
        lake,
        rejected,
        source_table=GKG,
        provenance=provenance,
        replaced=In("source_name", [_file_name(label) for label in labels] or ["-"]),
    )
    ledger = pa.Table.from_pylist([slot.ledger_row for slot in pending], arrow_schema(bronze.GDELT_SLOTS))
    return gkg, lake.replace_rows(SLOTS, ledger, replaced=_of_slots(labels), provenance=provenance), kept_out


def _accounted(slot: Slot, matcher: Matcher, universe: Universe) -> _Account:
    parsed = None
    if slot.status == "loaded":
        parsed = parse(slot.content, slot_ts=slot.label_ts, day_date=_day(slot.label_ts), file_md5=slot.md5, matcher=matcher)
    return _Account(
        label_ts=slot.label_ts,
        parsed=parsed,
        ledger_row=_ledger_row(slot, parsed, universe),
        corrupt_because=slot.message if slot.status == "corrupt" else None,
    )


def _day(label_ts: datetime) -> date:
    return label_ts.astimezone(NEW_YORK).date()


def _file_name(label_ts: datetime) -> str:
    return f"{label_ts:%Y%m%d%H%M%S}.gkg.csv"


def _of_slots(labels: list[datetime]) -> BooleanExpression:
    if not labels:
        return In("slot_ts", [datetime(1970, 1, 1, tzinfo=ZoneInfo("UTC"))])
    days = [_day(label) for label in labels]
    return And(between("day_date", Window(start=min(days), end=max(days))), In("slot_ts", labels))


def _corrupt_files(pending: list[_Account]) -> Iterator[Rejection]:
    for slot in pending:
        if slot.corrupt_because is not None:
            yield Rejection(
                source_table=GKG,
                source_name=_file_name(slot.label_ts),
                reference="file",
                reason="corrupt_file",
                message=slot.corrupt_because,
                raw_text="",
                ticker=None,
                day_date=_day(slot.label_ts),
            )


def _ledger_row(slot: Slot, parsed: ParsedSlot | None, universe: Universe) -> dict[str, object]:
    return {
        "slot_ts": slot.label_ts,
        "day_date": _day(slot.label_ts),
        "status": slot.status,
        "row_count": parsed.row_count if parsed else 0,
        "kept_count": parsed.rows.num_rows if parsed else 0,
        "other_count": parsed.other_count if parsed else 0,
        "quarantined_count": parsed.rejected_count if parsed else 0,
        "invalid_byte_count": parsed.invalid_byte_count if parsed else 0,
        "file_md5": slot.md5,
        "zip_bytes": slot.zip_bytes,
        "message": slot.message,
        "universe_sha256": universe.sha256,
    }
