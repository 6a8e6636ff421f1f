"""What is taken back from the engine's logs of tokens, and that their lines reach the disk."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finlake_services.clickhouse_local import deduplication_logs
from finlake_services.clickhouse_local.deduplication_logs import (
    Blocks,
    BlocksInParts,
    Lines,
    TakenBack,
    WrittenThrough,
    is_written_through,
    judged,
    lines_without_part,
    take_back,
)


@st.composite
def blocks(draw: st.DrawFn) -> Blocks:
    first = draw(st.integers(1, 12))
    return Blocks(draw(st.sampled_from(["all", "20260105"])), first, first + draw(st.integers(0, 4)))


@given(st.lists(blocks()), blocks())
def test_blocks_are_held_if_one_part_holds_them_all(parts: list[Blocks], looked_for: Blocks) -> None:
    numbers = set(range(looked_for.first, looked_for.last + 1))
    assert (looked_for in BlocksInParts(parts)) == any(
        part.partition == looked_for.partition and numbers <= set(range(part.first, part.last + 1)) for part in parts
    )


@pytest.mark.parametrize(
    ("name", "held"),
    [
        ("20260105_4_4_0", Blocks("20260105", 4, 4)),
        ("all_1_7_2", Blocks("all", 1, 7)),
        ("all_1_7_2_9", Blocks("all", 1, 7)),
        ("deduplication_logs", None),
        ("detached", None),
        ("format_version.txt", None),
    ],
)
def test_what_a_part_holds_is_told_by_its_name(name: str, held: Blocks | None) -> None:
    assert Blocks.of(name) == held


def line(number: int, operation: int = 1) -> bytes:
    return b"%d\tall_%d_%d_0\tall_%d_77\n" % (operation, number, number, number)


@given(st.lists(st.integers(1, 9)), st.sets(st.integers(1, 9)))
def test_a_line_stays_if_its_part_is_there(added: list[int], parts: set[int]) -> None:
    held = BlocksInParts(Blocks("all", number, number) for number in parts)
    there, missing = ([line(number) for number in added if (number in parts) == wanted] for wanted in (True, False))
    assert judged(b"".join(map(line, added)), held) == Lines(there, missing, [])


@given(st.integers(0, 200))
def test_a_log_cut_anywhere_keeps_its_whole_lines(length: int) -> None:
    lines = [line(number) for number in range(1, 9)]
    cut = b"".join(lines)[:length]
    whole = lines[: cut.count(b"\n")]
    rest = cut.removeprefix(b"".join(whole))
    assert judged(cut, BlocksInParts([Blocks("all", 1, 8)])) == Lines(whole, [], [rest] if rest else [])


@pytest.mark.parametrize("bad", [b"\0" * 40 + b"\n", b"\n", b"3\tall_1_1_0\tall_1\n", b"1\tall_1_1_0\n", b"1\tnonsense\tall_1\n"])
def test_lines_after_a_bad_one_are_kept(bad: bytes) -> None:
    assert judged(line(1) + bad + line(2), BlocksInParts([Blocks("all", 1, 2)])) == Lines([line(1), line(2)], [], [bad])


def test_a_dropped_parts_lines_stay() -> None:
    assert judged(line(1, operation=2), BlocksInParts([])) == Lines([line(1, operation=2)], [], [])


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A table's folder below tmp_path/data with the parts 1 to 3 merged and part 4, all of them in two logs."""
    folder = tmp_path / "data/store/abc/abc-uuid"
    for name in ("all_1_3_1", "all_4_4_0", "detached", "deduplication_logs", "tmp_insert_all_5_5_0"):
        (folder / name).mkdir(parents=True)
    (folder / "deduplication_logs/deduplication_log_1.txt").write_bytes(line(1) + line(2))
    (folder / "deduplication_logs/deduplication_log_2.txt").write_bytes(line(3) + line(4))
    return folder


def _content(table: Path) -> Iterator[bytes]:
    for log in sorted((table / "deduplication_logs").iterdir()):
        yield log.read_bytes()


def test_true_logs_are_not_touched(table: Path, tmp_path: Path) -> None:
    before = [os.stat(log) for log in (table / "deduplication_logs").iterdir()]
    assert take_back(tmp_path / "data", tmp_path) == []
    assert [os.stat(log) for log in (table / "deduplication_logs").iterdir()] == before


def test_of_two_logs_each_is_made_true_and_stays_so(table: Path, tmp_path: Path) -> None:
    first, second = (table / "deduplication_logs" / f"deduplication_log_{number}.txt" for number in (1, 2))
    first.write_bytes(line(1) + line(5) + line(2))
    second.write_bytes(line(3) + line(4) + line(6) + line(7)[:9])
    assert lines_without_part(tmp_path / "data") == {(first, line(5)), (second, line(6))}
    assert take_back(tmp_path / "data", tmp_path) == [TakenBack(first, 1, 0), TakenBack(second, 1, 1)]
    assert list(_content(table)) == [line(1) + line(2), line(3) + line(4)]
    assert take_back(tmp_path / "data", tmp_path) == []
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_table_that_the_running_engine_drops_meanwhile_is_passed_over(
    table: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(deduplication_logs, "_tables", lambda _: [tmp_path / "data/store/abc/gone", table])
    log = table / "deduplication_logs/deduplication_log_1.txt"
    log.write_bytes(line(5))
    assert lines_without_part(tmp_path / "data") == {(log, line(5))}
    WrittenThrough(tmp_path / "data").extend()


def test_a_folder_that_is_not_there_yet_has_nothing_to_take_back(tmp_path: Path) -> None:
    assert take_back(tmp_path / "data", tmp_path) == []


def test_every_log_is_written_through_and_so_are_those_that_come_later(table: Path, tmp_path: Path) -> None:
    written_through = WrittenThrough(tmp_path / "data")
    if refused := written_through.extend():
        pytest.skip(f"the file system of {refused[0]} does not know the attribute; the engine says so and goes on")
    later = table / "deduplication_logs/deduplication_log_3.txt"
    later.write_bytes(b"")
    assert written_through.extend() == []
    assert all(is_written_through(log) for log in [table / "deduplication_logs", *(table / "deduplication_logs").iterdir()])


def test_a_file_system_without_the_attribute_is_named_once(table: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object) -> None:
        raise OSError("not supported")

    monkeypatch.setattr("fcntl.ioctl", refuse)
    written_through = WrittenThrough(tmp_path / "data")
    assert len(written_through.extend()) == 3
    assert written_through.extend() == []
