"""Reading one real GDELT slot: parsing it against unzipping it."""

import hashlib
import zipfile
from collections.abc import Callable
from datetime import UTC, date, datetime
from io import BytesIO
from pathlib import Path
from time import perf_counter

from finlake_proofs.bench.comparison import Comparison
from finlake_settings.checkout import CHECKOUT
from spark.contracts.universe import parse_universe
from spark.transforms.bronze.gdelt_gkg import parse
from spark.transforms.silver.company_names import Matcher

SLOT = CHECKOUT / "finlake_services" / "sample_sources" / "data" / "20230702153000.gkg.csv.zip"
SLOT_TS, SLOT_DATE = datetime(2023, 7, 2, 15, 30, tzinfo=UTC), date(2023, 7, 2)


def compare(pair_count: int, target_ratio: float, slot: Path = SLOT) -> Comparison:
    """Parse and filter the slot by the universe of the repository, and unzip the same bytes, in turns."""
    zipped = slot.read_bytes()
    matcher = Matcher.from_universe(parse_universe((CHECKOUT / "universe.toml").read_text(encoding="utf-8")))
    md5 = hashlib.md5(zipped, usedforsecurity=False).hexdigest()
    content = unzipped(zipped)

    def parsed() -> object:
        return parse(content, slot_ts=SLOT_TS, day_date=SLOT_DATE, file_md5=md5, matcher=matcher)

    parsed()
    pairs = [(_taken(parsed), _taken(lambda: unzipped(zipped))) for _ in range(pair_count)]
    return Comparison(
        name=f"GKG: a real slot of {len(content) / 1e6:.1f} MB",
        measured="parse and filter",
        baseline="unzip",
        measured_s=tuple(left for left, _ in pairs),
        baseline_s=tuple(right for _, right in pairs),
        target_ratio=target_ratio,
    )


def unzipped(zipped: bytes) -> bytes:
    """The only member of a zip."""
    with zipfile.ZipFile(BytesIO(zipped)) as archive:
        return archive.read(archive.namelist()[0])


def _taken(work: Callable[[], object]) -> float:
    began = perf_counter()
    work()
    return perf_counter() - began
