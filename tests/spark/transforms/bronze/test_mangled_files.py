"""Whatever becomes of a file on its way, its good lines are its rows and every other line is counted."""

from datetime import UTC, date, datetime

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spark.transforms.bronze.stooq_prices import parse

FETCHED_TS = datetime(2024, 3, 20, 12, tzinfo=UTC)
HEADER = "Date,Open,High,Low,Close,Volume"
ROWS = [f"2024-03-{4 + n:02d},{100 + n}.00,{101 + n}.50,{99 + n}.00,{100 + n}.50,{1000000 + n}" for n in range(5)]
GOOD_LINES = st.sampled_from(ROWS)
BAD_LINES = st.sampled_from(
    [
        "2024-03-04",
        "1e400,1,1,1,1,1",
        "2024-03-04,1e400,1,1,1,1",
        "2024-03-04,\x00,1,1,1,1",
        "x" * 5_000,
        ",,,,,",
        "\x1b[31m",
        "99999999999999999999-01-01,1,1,1,1,1",
        "03/04/2024,1,1,1,1,1",
        '"2024-03-04",1,1,1,1,1',
        "2024-03-04;1;1;1;1;1",
        "2024-03-04,1,2,1,2,1" + "0" * 400,
        "\u0661\u0662,1,1,1,1,1",
    ]
)
COLUMNS = ("open_usd", "high_usd", "low_usd", "close_usd", "volume_shares")


def independent_rows(lines: list[str]) -> dict[date, list[float | None]]:
    """The bars among the lines, read by Python alone; the first of each date."""
    bars: dict[date, list[float | None]] = {}
    for line in lines:
        fields = [part.strip() for part in line.split(",")]
        try:
            day = date(int(fields[0][:4]), int(fields[0][5:7]), int(fields[0][8:]))
            values: list[float | None] = [float(field) if field.isascii() else float("nan") for field in fields[1:5]]
            values.append(float(fields[5]) if fields[5] else None)
        except (ValueError, IndexError, OverflowError):
            continue
        is_finite = all(value is None or abs(value) < float("inf") for value in values)
        if len(fields) == 6 and f"{day}" == fields[0] and is_finite and (values[4] or 0) >= 0:
            bars.setdefault(day, values)
    return bars


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(
    lines=st.lists(GOOD_LINES | BAD_LINES | st.text(max_size=30), max_size=150),
    repeats=st.integers(1, 60),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "latin-1"]),
    cut=st.integers(0, 200),
)
def test_whatever_becomes_of_a_file_its_good_lines_are_its_rows_and_every_other_line_is_counted(
    lines: list[str], repeats: int, end: str, encoding: str, cut: int
) -> None:
    content = end.join((HEADER, *(lines * repeats), "")).encode(encoding, errors="replace")
    content = content[: len(content) - cut] if cut < len(content) else content
    parsed = parse(
        content,
        ticker="KO",
        file_sha256="0" * 64,
        fetched_ts=FETCHED_TS,
        source_name="ko_us_d.csv",
        last_closed_date=date(2024, 3, 19),
    )
    assert parsed.rejected.num_rows <= 100
    assert parsed.rejected.num_rows <= parsed.rejected_count
    assert all(len(raw) <= 4_000 for raw in parsed.rejected["raw_text"].to_pylist())
    keys = list(zip(parsed.rejected["reference"].to_pylist(), parsed.rejected["reason"].to_pylist(), strict=True))
    assert len(set(keys)) == len(keys)
    if "file" in {reference.rsplit(" ", 1)[-1] for reference, _ in keys}:
        assert parsed.rows.num_rows == 0
        return
    written = content.decode("utf-8-sig", errors="replace").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    said = [line.strip() for line in written if line.strip()][1:]
    assert parsed.rows.num_rows + parsed.rejected_count == len(said)
    expected = independent_rows(said)
    assert {row["session_date"]: [row[name] for name in COLUMNS] for row in parsed.rows.to_pylist()} == expected
