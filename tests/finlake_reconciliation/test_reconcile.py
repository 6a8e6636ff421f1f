"""What is lost, what is only behind, and what the stream itself explains: engines in every state a stream gets into."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finlake_cli.reconcile_view import remarks
from finlake_reconciliation import reconcile
from finlake_reconciliation.buckets import id_hash
from finlake_reconciliation.postgres_side import Proof
from finlake_reconciliation.reconcile import SnapshotUnderWayError
from finlake_reconciliation.report import UNEQUAL_ROWS_PAGE, EngineReport, ReconcileReport
from finlake_settings.checkout import CHECKOUT
from tests.finlake_reconciliation.engines import CUT_LSN, CUT_TS, DAY, Trade, World

TRADES = [Trade(number=number, offset=10 * number, lsn=number) for number in range(1, 9)]
LAST = TRADES[-1]


def reports(world: World) -> dict[str, EngineReport]:
    """What is found of each engine."""
    one = world.comparison()
    archive = one.engines.archive
    assert archive is not None
    return {each.engine: each for each in (one.kafka(), one.clickhouse(), one.iceberg(archive))}


def held(**differences: object) -> World:
    """A world in which every engine holds all trades, but for some differences."""
    everywhere = {engine: TRADES for engine in ("postgres", "kafka", "clickhouse", "silver")}
    return World(**{**everywhere, **differences})  # type: ignore[arg-type]


def test_engines_that_hold_the_same_are_proven_equal() -> None:
    assert {name: (each.verdict, each.row_count) for name, each in reports(held()).items()} == {
        "Kafka": ("equal", 8),
        "ClickHouse": ("equal", 8),
        "Iceberg": ("equal", 8),
    }


@given(
    st.sampled_from([("kafka", "Kafka"), ("clickhouse", "ClickHouse"), ("silver", "Iceberg")]),
    st.lists(st.sampled_from([0, 1, 2]), min_size=8, max_size=8),
)
def test_what_an_engine_has_lost_or_doubled_is_named_and_others_stay_equal(engine: tuple[str, str], times: list[int]) -> None:
    rows = [trade for trade, count in zip(TRADES, times, strict=True) for _ in range(count)]
    # The sink and the archive have passed everything: nobody is on the way.
    found = reports(held(**{engine[0]: rows}))
    differences = found[engine[1]].differences
    assert differences.missing.first == tuple(trade.id for trade, count in zip(TRADES, times, strict=True) if count == 0)
    assert differences.doubled.first == tuple(trade.id for trade, count in zip(TRADES, times, strict=True) if count == 2)
    assert found[engine[1]].is_proven == (times == [1] * 8)
    assert all(each.is_proven for name, each in found.items() if name != engine[1])


def test_rows_above_the_cut_play_no_part() -> None:
    later = Trade(number=99, offset=95, lsn=CUT_LSN)
    world = held(kafka=[*TRADES, later], clickhouse=[*TRADES, later], silver=[*TRADES, later])
    assert all(each.verdict == "equal" for each in reports(world).values())


def test_a_sink_that_is_behind_has_lost_nothing() -> None:
    found = reports(held(clickhouse=TRADES[:5], sink=TRADES[5].offset))["ClickHouse"]
    assert (found.verdict, found.row_count, found.behind_count) == ("behind by 3", 5, 3)
    assert not found.is_proven
    assert not found.is_wrong


def test_rows_of_a_block_that_the_sink_has_inserted_and_not_yet_told_of_do_not_count_twice() -> None:
    found = reports(held(clickhouse=TRADES[:7], sink=TRADES[5].offset))["ClickHouse"]
    assert (found.verdict, found.row_count, found.is_wrong) == ("behind by 3", 5, False)


def test_a_sink_that_is_behind_and_has_lost_a_row_before_is_wrong() -> None:
    found = reports(held(clickhouse=TRADES[1:5], sink=TRADES[5].offset))["ClickHouse"]
    assert (found.verdict, found.behind_count, found.differences.missing.first) == ("1 missing", 3, (TRADES[0].id,))
    assert found.is_wrong


def test_the_archive_may_be_behind_and_is_proven_up_to_where_it_is() -> None:
    found = reports(held(silver=TRADES[:5], archived_to=TRADES[5].offset))["Iceberg"]
    assert (found.verdict, found.behind_count, found.is_proven) == ("equal, 3 to come", 3, True)


def test_a_row_that_the_archive_has_passed_over_is_lost() -> None:
    found = reports(held(silver=TRADES[1:5], archived_to=TRADES[5].offset))["Iceberg"]
    assert (found.verdict, found.is_proven) == ("1 missing", False)


def test_rows_that_a_snapshot_read_again_are_one_row() -> None:
    again = [Trade(number=trade.number, offset=90 + trade.number, lsn=500, op="r") for trade in TRADES[:3]]
    found = reports(held(kafka=[*TRADES, *again]))
    assert {each.verdict for each in found.values()} == {"equal"}
    assert "3 records repeat rows that a snapshot read again" in found["Kafka"].remarks


def test_a_row_known_by_a_snapshot_alone_counts() -> None:
    again = Trade(number=LAST.number, offset=95, lsn=500, op="r")
    world = held(kafka=[*TRADES[:-1], again, Trade(number=1, offset=96, lsn=500, op="r")], clickhouse=[*TRADES[:-1], again])
    assert {each.verdict for each in reports(world).values()} == {"equal"}


def test_a_row_read_again_after_its_first_record_has_expired_still_counts_once() -> None:
    again = Trade(number=1, offset=95, lsn=500, op="r")
    found = reports(held(kafka=[*TRADES[4:], again], first=TRADES[4].offset))
    assert {each.verdict for each in found.values()} == {"equal"}
    assert found["Kafka"].remarks[0] == "4 rows are older than what Kafka keeps and were taken from ClickHouse"


def test_a_row_read_again_behind_the_archive_is_in_it_already() -> None:
    again = Trade(number=1, offset=95, lsn=500, op="r")
    found = reports(held(kafka=[*TRADES, again], silver=TRADES[:5], archived_to=TRADES[5].offset))
    assert found["Iceberg"].verdict == "equal, 3 to come"


def test_offsets_that_expired_before_they_were_archived_are_lost_and_named() -> None:
    found = reports(held(kafka=TRADES[4:], first=TRADES[4].offset, silver=TRADES[:2], archived_to=TRADES[2].offset))["Iceberg"]
    assert found.differences.missing.count == 2
    assert found.remarks == ("Kafka has lost offsets 30 to 49 before they were archived",)


def test_a_deleted_row_that_live_tables_still_show_is_explained() -> None:
    deletion = Trade(number=1, offset=95, lsn=600, op="d")
    world = held(postgres=TRADES[1:], kafka=[*TRADES, deletion], silver=TRADES[1:])
    found = reports(world)
    assert all(each.is_proven for each in found.values())
    assert found["ClickHouse"].differences.explained.first == (TRADES[0].id,)
    assert "1 rows were deleted or updated in Postgres" in found["Kafka"].remarks


def test_a_row_among_the_dead_letters_is_explained_and_named() -> None:
    found = reports(held(clickhouse=TRADES[1:], dead_offsets=[TRADES[0].offset]))["ClickHouse"]
    assert (found.verdict, found.differences.explained.first) == ("equal", (TRADES[0].id,))
    assert found.remarks == (f"1 rows are among the dead letters, such as {TRADES[0].id}: see `finlake replay`",)


def test_a_record_that_cannot_be_read_is_named_by_its_offset() -> None:
    assert "1 records are unreadable, such as finlake.ods.finnhub_trades:0:97" in reports(held(garbage=[97]))["Kafka"].remarks


def test_a_snapshot_above_the_cut_calls_for_another_cut() -> None:
    with pytest.raises(SnapshotUnderWayError, match="wait until its snapshot has ended"):
        held(kafka=[*TRADES, Trade(number=1, offset=95, lsn=CUT_LSN, op="r")]).comparison()


def test_what_kafka_does_not_show_in_time_is_behind_and_not_lost() -> None:
    one = held(kafka=TRADES[:6], end=70, clickhouse=TRADES[:6]).comparison(kafka_is_late=True)
    assert [(each.verdict, each.is_wrong, each.is_proven) for each in (one.kafka(), one.clickhouse())] == [
        ("behind by 2", False, False)
    ] * 2


def test_what_does_not_fit_into_memory_is_counted_by_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "EXAMINED_ROWS", 8)
    today = [Trade(number=number, offset=90 + number, lsn=100 + number, day=DAY + timedelta(days=1)) for number in range(3)]
    found = reports(held(postgres=[*TRADES, *today], kafka=[*TRADES, *today], clickhouse=[], silver=[*TRADES, *today]))
    assert found["ClickHouse"].verdict == "8 missing, 1 more groups differ"
    assert found["ClickHouse"].is_wrong


def proof(rows: list[Trade]) -> Proof:
    return Proof(relation="finnhub_trades", day=DAY, row_count=len(rows), id_hash=sum(id_hash(row.id) for row in rows))


def test_a_day_dropped_after_its_proof_is_compared_with_the_proof() -> None:
    today = [Trade(number=number, offset=90 + number, lsn=100 + number, day=DAY + timedelta(days=1)) for number in range(3)]
    world = held(postgres=today, kafka=[*TRADES, *today], clickhouse=[*TRADES, *today], silver=today, proofs=[proof(TRADES)])
    assert all(each.is_proven for each in reports(world).values())
    world.clickhouse = [*TRADES[1:], *today]
    found = reports(world)["ClickHouse"]
    assert found.verdict == "of 2026-11-20, dropped from Postgres, there are 7 rows; 8 were proven"
    assert not found.is_proven


def test_only_days_that_the_archive_holds_completely_are_proven() -> None:
    today = [Trade(number=number, offset=90 + number, lsn=100 + number, day=DAY + timedelta(days=1)) for number in range(3)]
    rows = [*TRADES, *today]
    one = held(postgres=rows, kafka=rows, clickhouse=rows, silver=[*TRADES, today[0]], archived_to=91).comparison()
    archive = one.engines.archive
    assert archive is not None
    assert one.iceberg(archive).is_proven
    assert one.archived_days() == [proof(TRADES)]


def test_what_no_engine_mends_by_itself_is_told_with_the_page_that_says_how() -> None:
    changed = replace(TRADES[2], price_usd=99.0)
    found = reports(held(clickhouse=[*TRADES[:2], changed, *TRADES[3:]]))
    assert found["ClickHouse"].verdict == "1 changed"
    report = ReconcileReport(
        lsn=CUT_LSN,
        cut_ts=CUT_TS,
        row_counts={},
        engines=tuple(found.values()),
        derived=(),
        faults=("Postgres holds 1 ids of finnhub_trades twice, such as c:1:0",),
    )
    twice, hand = report.next_steps
    assert twice.startswith("Postgres holds 1 ids of finnhub_trades twice, such as c:1:0: ")
    assert hand.startswith("changed rows of finnhub_trades: ")
    assert all(UNEQUAL_ROWS_PAGE in step for step in report.next_steps)
    assert (CHECKOUT / UNEQUAL_ROWS_PAGE).is_file()
    assert [line for line in remarks(report) if line.startswith("next step: ")] == [f"next step: {twice}", f"next step: {hand}"]
    assert replace(report, engines=tuple(reports(held()).values()), faults=()).next_steps == ()
