"""GKG slot files: 27 fields as they came, every line accounted for, nothing stripped."""

import time
import zipfile
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark.contracts.bronze import GDELT_GKG, GKG_FIELD_NAMES
from spark.contracts.silver import QUARANTINE
from spark.contracts.universe import parse_universe
from spark.schemas import arrow_schema
from spark.transforms.bronze.gdelt_gkg import MAX_RECORD_BYTES, MAX_SLOT_LINES, ParsedSlot, parse
from spark.transforms.quarantine import MAX_REJECTED_ROWS
from spark.transforms.silver.company_names import Article, Matcher

REPOSITORY = Path(__file__).parents[4]
GDELT = REPOSITORY / "tests" / "data" / "gdelt"
SLOT_TS = datetime(2023, 7, 2, 15, 30, tzinfo=UTC)
LABEL = "20230702153000"


class EverythingMatcher(Matcher):
    """Keeps every record."""

    def candidates(self, article: Article) -> tuple[str, ...]:
        return ("EVERY",)


EVERYTHING = EverythingMatcher(())
UNIVERSE = Matcher.from_universe(parse_universe((REPOSITORY / "universe.toml").read_text()))


def read(content: bytes, matcher: Matcher = EVERYTHING, slot_ts: datetime = SLOT_TS, is_generated: bool = False) -> ParsedSlot:
    return parse(content, slot_ts=slot_ts, day_date=slot_ts.date(), file_md5="0" * 32, matcher=matcher, is_generated=is_generated)


def line(serial: int = 0, **fields: str) -> bytes:
    """A record of the slot with the given fields and the rest empty."""
    values = {"gkg_record_id": f"{LABEL}-{serial}", "gkg_date": LABEL, **fields}
    return "\t".join(values.get(name, "") for name in GKG_FIELD_NAMES).encode() + b"\n"


def member(archive: str, name: str) -> bytes:
    with zipfile.ZipFile(GDELT / archive) as opened:
        return opened.read(name)


@pytest.fixture(scope="module")
def real_slot() -> bytes:
    return member("20230702153000.gkg.csv.zip", "20230702153000.gkg.csv")


def as_bytes(rows: pa.Table) -> bytes:
    return b"".join("\t".join(row[name] for name in GKG_FIELD_NAMES).encode() + b"\n" for row in rows.to_pylist())


def test_all_951_records_of_the_real_slot_are_kept_or_counted(real_slot: bytes) -> None:
    parsed = read(real_slot, UNIVERSE)
    assert (parsed.row_count, parsed.rejected.num_rows, parsed.invalid_byte_count) == (951, 0, 0)
    assert parsed.rows.num_rows + parsed.other_count == 951
    assert 0 < parsed.rows.num_rows < 60
    assert parsed.rows.schema.equals(arrow_schema(GDELT_GKG))


def test_the_kept_records_write_the_real_file_back_byte_for_byte(real_slot: bytes) -> None:
    parsed = read(real_slot)
    assert as_bytes(parsed.rows) == real_slot
    assert parsed.rows["line_number"].to_pylist() == list(range(1, 952))


@pytest.mark.parametrize("label", ["20150218230000", "20200318104500"])
def test_old_records_are_read_whole_also_where_the_last_column_is_empty(label: str) -> None:
    content = member("rows_2015_2020.gkg.csv.zip", f"{label}.gkg.csv")
    parsed = read(content, slot_ts=datetime.strptime(label, "%Y%m%d%H%M%S").replace(tzinfo=UTC))
    assert (parsed.rows.num_rows, parsed.rejected.num_rows) == (50, 0)
    assert as_bytes(parsed.rows) == content
    assert (set(parsed.rows["extras_xml"].to_pylist()) == {""}) == (label == "20150218230000")


def test_a_record_is_kept_when_any_name_of_the_universe_stands_in_it() -> None:
    content = b"".join(
        (
            line(0, organizations_v1="world bank;apple"),
            line(1, all_names="Tim Cook,10;Microsoft,40"),
            line(2, extras_xml="<PAGE_TITLE>Why &#73;BM rose</PAGE_TITLE>"),
            line(3, extras_xml="<PAGE_TITLE>Up (NASDAQ: GOOGL)</PAGE_TITLE>"),
            line(4, organizations_v1="applebee;pineapple express", all_names="Microsofted,4"),
            line(5, extras_xml="<PAGE_AUTHORS>Apple Inc</PAGE_AUTHORS>"),
        )
    )
    parsed = read(content, UNIVERSE)
    assert parsed.rows["line_number"].to_pylist() == [1, 2, 3, 4]
    assert parsed.other_count == 2


def test_a_name_counts_only_on_days_it_was_in_use() -> None:
    content = line(0, organizations_v1="meta platforms")
    assert read(content, UNIVERSE).rows.num_rows == 1
    assert parse(content, slot_ts=SLOT_TS, day_date=date(2021, 10, 27), file_md5="", matcher=UNIVERSE).other_count == 1


def test_quotes_and_outer_blanks_are_text_like_any_other() -> None:
    parsed = read(line(0, extras_xml='<PAGE_TITLE>He said "no</PAGE_TITLE> ', persons_v1=' "x'))
    assert parsed.rows["extras_xml"].to_pylist() == ['<PAGE_TITLE>He said "no</PAGE_TITLE> ']
    assert parsed.rows["persons_v1"].to_pylist() == [' "x']


def test_carriage_returns_end_a_line_and_belong_to_no_field() -> None:
    assert read(line(0, extras_xml="x").replace(b"\n", b"\r\n")).rows["extras_xml"].to_pylist() == ["x"]


def test_undecodable_bytes_are_replaced_and_counted_where_they_stand() -> None:
    genuine = "a replacement character \ufffd that was written"
    content = line(0, extras_xml=genuine) + line(1, extras_xml="Jos@ Mart@").replace(b"@", b"\xe9") + line(2)
    parsed = read(content)
    assert parsed.rows["extras_xml"].to_pylist() == [genuine, "Jos\ufffd Mart\ufffd", ""]
    assert parsed.rows["invalid_byte_count"].to_pylist() == [0, 2, 0]
    assert parsed.invalid_byte_count == 2


def test_a_character_cut_by_a_tab_does_not_swallow_the_next_field() -> None:
    parsed = read(line(0, persons_v1="@", persons_v2="next").replace(b"@", b"\xe2\x82"))
    assert (parsed.rows["persons_v1"].to_pylist(), parsed.rows["persons_v2"].to_pylist()) == (["\ufffd"], ["next"])
    assert parsed.invalid_byte_count == 2


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (line(1)[:-2] + b"\n", "malformed_line"),
        (line(1)[:-1] + b"\tone more\n", "malformed_line"),
        (b"\n", "malformed_line"),
        (line(1, gkg_date="20230702154500"), "label_mismatch"),
        (line(1, gkg_record_id="20230702154500-1"), "label_mismatch"),
        (line(0, persons_v1="again"), "duplicate_record"),
    ],
)
def test_a_line_that_is_no_record_of_the_slot_is_rejected_with_its_text(broken: bytes, reason: str) -> None:
    parsed = read(line(0) + broken + line(2))
    assert parsed.rows["line_number"].to_pylist() == [1, 3]
    assert parsed.rejected.schema.equals(arrow_schema(QUARANTINE))
    [rejection] = parsed.rejected.to_pylist()
    assert (rejection["reason"], rejection["reference"], rejection["source_name"]) == (
        reason,
        "line 2",
        f"{LABEL}.gkg.csv",
    )
    assert rejection["raw_text"] == broken.decode().rstrip("\n")
    assert rejection["day_date"] == date(2023, 7, 2)


def test_a_truncated_last_line_is_rejected_not_lost(real_slot: bytes) -> None:
    parsed = read(real_slot[:-1_000])
    assert (parsed.row_count, parsed.rows.num_rows) == (951, 950)
    assert parsed.rejected["reference"].to_pylist() == ["line 951"]
    assert len(parsed.rejected["raw_text"].to_pylist()[0]) == 4_000


def test_beyond_a_bound_rejected_lines_are_counted_by_their_reason() -> None:
    content = line(1) + b"broken\n" * 5_000 + line(1) * 25 + b"\t" * 1_000 + b"\n" + line(2)
    parsed = read(content)
    assert (parsed.row_count, parsed.rows.num_rows, parsed.rejected_count, parsed.other_count) == (5_028, 2, 5_026, 0)
    rejected = parsed.rejected.to_pylist()
    assert len(rejected) == 25 + 25
    assert len({(row["reference"], row["reason"]) for row in rejected}) == len(rejected) <= MAX_REJECTED_ROWS
    (counted,) = [row for row in rejected if "more lines" in row["message"]]
    assert counted["message"].startswith("4,977 more lines from line 26 to line 5027, such as: the line has 1 fields")


def test_a_record_longer_than_any_real_one_is_rejected_and_the_others_kept() -> None:
    parsed = read(line(1) + line(2, gcam="x" * MAX_RECORD_BYTES) + line(3))
    assert parsed.rows["line_number"].to_pylist() == [1, 3]
    (rejected,) = parsed.rejected.to_pylist()
    assert (rejected["reason"], rejected["reference"], len(rejected["raw_text"])) == ("too_large", "line 2", 4_000)


def test_a_slot_of_more_lines_than_any_real_one_is_rejected_whole() -> None:
    parsed = read(b"\n" * (MAX_SLOT_LINES + 1))
    assert (parsed.rows.num_rows, parsed.row_count, parsed.rejected_count) == (0, 100_001, 100_001)
    (rejected,) = parsed.rejected.to_pylist()
    assert (rejected["reason"], rejected["reference"]) == ("too_large", "file")


def test_an_empty_member_is_a_slot_without_records() -> None:
    parsed = read(b"")
    assert (parsed.row_count, parsed.rows.num_rows, parsed.rejected.num_rows) == (0, 0, 0)


@pytest.mark.parametrize(
    ("source", "url", "expected"),
    [
        ("apple-wire.finlake.example", "https://apple-wire.finlake.example/1", True),
        ("", "https://wire.finlake.example:80/1", True),
        ("notfinlake.example", "https://real.com/?from=finlake.example", False),
        ("real.com", "http://[broken", False),
    ],
)
def test_rows_of_the_sample_domain_are_marked_as_generated(source: str, url: str, expected: bool) -> None:
    content = line(0, source_common_name=source, document_identifier=url)
    assert read(content).rows["is_generated"].to_pylist() == [expected]
    assert read(content, is_generated=True).rows["is_generated"].to_pylist() == [True]


@pytest.mark.parametrize("matcher", [UNIVERSE, EVERYTHING], ids=["interest_filter", "all_rows"])
def test_reading_a_slot_takes_at_most_three_times_its_unzipping(real_slot: bytes, matcher: Matcher) -> None:
    def best_of_five(action: Callable[[], object]) -> float:
        times = []
        for _ in range(5):
            started = time.process_time()
            action()
            times.append(time.process_time() - started)
        return min(times)

    unzip = best_of_five(lambda: member("20230702153000.gkg.csv.zip", "20230702153000.gkg.csv"))
    assert best_of_five(lambda: read(real_slot, matcher)) <= 3 * unzip


@settings(deadline=None)
@given(
    st.binary(max_size=400)
    | st.lists(
        st.sampled_from([line(0), line(1), line(2)[:-9], b"\n", b"\r", b"\t", b"\xff", b"\xe2\x82", b"\x00"]),
        max_size=12,
    ).map(b"".join)
)
def test_every_line_of_any_bytes_is_kept_counted_or_rejected(content: bytes) -> None:
    lines = content.count(b"\n") + (not content.endswith(b"\n") and content != b"")
    for matcher in (EVERYTHING, UNIVERSE):
        parsed = read(content, matcher)
        assert parsed.row_count == lines
        assert parsed.row_count == parsed.rows.num_rows + parsed.other_count + parsed.rejected_count
    assert parsed.invalid_byte_count == len(content) - len(content.decode(errors="ignore").encode())
