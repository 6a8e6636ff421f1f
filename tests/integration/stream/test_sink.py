"""The sink between a real Kafka and a real ClickHouse: nothing lost and nothing twice, whatever is killed or full."""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event

import pytest

from deploy.local.services import free_ports
from deploy.local.stack import LocalStack
from finlake_services.clickhouse_sink.blocks import QUOTES
from finlake_settings.checkout import CHECKOUT
from tests.deploy.clickhouse import recomputed
from tests.deploy.clickhouse.recomputed import Tick
from tests.integration.stream.mortal_sink import STATUS
from tests.integration.stream.sink_process import TOPIC, Street, events_of, flowing, made_up, record, wait_until

pytestmark = pytest.mark.stack
MORTAL = "tests.integration.stream.mortal_sink"


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    """A Kafka and a ClickHouse that no other test writes to; ClickHouse's disk is small where that can be had."""
    home = Path(tempfile.mkdtemp(prefix="finlake-"))
    home.chmod(0o711)
    disk = home / "clickhouse"
    disk.mkdir()
    is_small = (
        os.geteuid() == 0
        and subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=256m", "finlake", str(disk)],
            capture_output=True,
            check=False,
        ).returncode
        == 0
    )
    stack = LocalStack(home, free_ports(), jars=CHECKOUT / ".finlake" / "jars")
    try:
        stack.up(services=("kafka", "clickhouse"))
        yield Street(stack, tmp_path_factory.mktemp("sinks"))
    finally:
        stack.down()
        if is_small:
            subprocess.run(["umount", str(disk)], check=True)
        shutil.rmtree(home)


def assert_exact(street: Street, name: str, ticks: Sequence[Tick]) -> None:
    """Rows, candles and windows of the symbols that begin with `name` are those of `ticks`, to the last digit."""
    assert street.offsets(name) == sorted((tick.partition, tick.offset) for tick in ticks)
    assert street.view("candles_1m", name) == recomputed.candles(ticks)
    assert street.view("windows_30s", name) == recomputed.windows_30s(ticks)
    assert street.view("price_volume_15s", name) == recomputed.price_volume_15s(ticks)


def test_a_trade_is_in_clickhouse_and_in_its_candle_and_a_late_one_corrects_it(street: Street) -> None:
    noon = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    prompt = [Tick("late:1", noon + timedelta(seconds=second), 100.0 + second, 1.0, second) for second in (5, 25, 70)]
    with street.sink() as sink:
        sink.wait_until_ok()
        written = street.produce(prompt)
        street.wait_until_done()
        assert_exact(street, "late", written)
        written += street.produce([Tick("late:1", noon + timedelta(seconds=1), 7.0, 3.0, 9)])
        street.wait_until_done()
        assert_exact(street, "late", written)
        assert street.view("candles_1m", "late")[0][2:] == (7.0, 125.0, 7.0, 125.0, 5.0, 3)
        assert sink.metric("finlake_sink_rows_total") == 4
        assert sink.metric("finlake_sink_lag_records") == 0
        assert sink.stop() == 0


def test_a_quote_is_in_its_table_once_also_when_a_snapshot_reads_it_again(street: Street) -> None:
    row = {
        "received_ts": "2026-03-02T15:00:00.123456Z",
        "poller_id": "p-1",
        "poll_seq": 7,
        "symbol": "quote:1",
        "price_usd": 187.5,
        "change_usd": None,
        "change_pct": -0.25,
        "high_usd": 188.0,
        "low_usd": 186.0,
        "open_usd": 187.0,
        "previous_close_usd": 188.4,
        "quote_ts": "2026-03-02T14:59:59Z",
    }
    change = {"before": None, "after": row, "source": {"lsn": 5, "ts_us": 1_772_463_600_200_000}, "ts_us": 1_772_463_600_250_000}
    with street.sink() as sink:
        sink.wait_until_ok()
        for op in ("c", "r"):
            street.produce_raw([json.dumps({**change, "op": op}).encode()], topic=QUOTES.topic)
        wait_until(lambda: sink.metric("finlake_sink_read_again_total") == 1, "the quote to be read again")
    found = street.rows(
        "SELECT quote_ts, price_usd, change_usd, change_pct, received_ts, poller_id, poll_seq, lsn, committed_ts "
        "FROM speed.quotes_realtime WHERE symbol = 'quote:1'",
    )
    quoted, received = datetime(2026, 3, 2, 14, 59, 59, tzinfo=UTC), datetime(2026, 3, 2, 15, 0, 0, 123456, UTC)
    assert found == [(quoted, 187.5, None, -0.25, received, "p-1", 7, 5, datetime(2026, 3, 2, 15, 0, 0, 200000, UTC))]


@pytest.mark.parametrize(("spoil", "times"), [("nothing", 1), ("plan", 2), ("token", 2)])
def test_killed_after_an_insert_it_inserts_once_and_without_plan_or_token_twice(street: Street, spoil: str, times: int) -> None:
    name = f"spoil-{spoil}"
    first = street.produce(made_up(name, 1, 20))
    with street.sink(module=MORTAL, arguments=("--spoil", spoil), instance="mortal") as mortal:
        assert mortal.process.wait(30) == STATUS
    second = street.produce(made_up(name, 2, 20))
    with street.sink(module=MORTAL, arguments=("--spoil", spoil, "--no-dies"), instance="mortal"):
        street.wait_until_done()
        found = street.offsets(name)
    assert [found.count((0, tick.offset)) for tick in first] == [times] * 20
    assert [found.count((0, tick.offset)) for tick in second] == [1] * 20
    if times == 1:
        assert_exact(street, name, first + second)


def test_an_insert_under_way_when_the_sink_is_killed_or_evicted_is_in_once(street: Street) -> None:
    with ExitStack() as running:
        first = running.enter_context(street.sink())
        first.wait_until_ok()
        with street.stopped("clickhouse"):
            written = street.produce(made_up("hang", 1, 50))
            wait_until(lambda: "-" in street.committed()[1], "the plan of a block that waits for ClickHouse")
            plan = street.committed()
            # Its request lies in ClickHouse's socket; the group takes it for dead while a second sink waits.
            first.signal(signal.SIGSTOP)
            second = running.enter_context(street.sink())
            wait_until(
                lambda: any(each["event"] == "partition assigned" and TOPIC in each["partition"] for each in second.events()),
                "the second sink to be given the partition",
            )
            assert street.committed() == plan
        written += street.produce(made_up("hang", 2, 50))
        street.wait_until_done()
        assert second.metric("finlake_sink_plans_replayed_total") == 1
        # The first wakes, finds that it was given up, and inserts nothing.
        first.signal(signal.SIGCONT)
        written += street.produce(made_up("hang", 3, 50))
        wait_until(lambda: first.health()["status"] == "ok", "the first sink to be a member again")
        written += street.produce(made_up("hang", 4, 50))
        street.wait_until_done()
        assert_exact(street, "hang", written)


def test_poison_goes_to_the_dead_letters_and_the_stream_goes_on(street: Street) -> None:
    good = street.produce(made_up("poison", 1, 5))
    wrong_type = record(good[0]).replace(b'"symbol": ', b'"symbol": 5, "was": ')
    values = [b"{", b"[]", wrong_type, b"\xff\xfe", record(good[0], op="x")]
    offsets = street.produce_raw(values)
    good += street.produce(made_up("poison", 2, 5))
    with street.sink() as sink:
        street.wait_until_done()
        assert sink.metric("finlake_sink_dead_letters_total") == 5
        letters = {letter.key(): letter for letter in street.dead_letters()}
    assert set(letters) >= {f"{TOPIC}:0:{offset}".encode() for offset in offsets}
    for offset, value in zip(offsets, values, strict=True):
        letter = letters[f"{TOPIC}:0:{offset}".encode()]
        headers = dict(letter.headers() or [])
        assert letter.value() == value
        assert (headers["topic"], headers["offset"]) == (TOPIC.encode(), str(offset).encode())
        assert headers["reason"] in (b"not_json", b"wrong_shape", b"unknown_op")
    assert_exact(street, "poison", good)


def test_what_a_snapshot_reads_again_is_there_once_and_what_it_finds_anew_is_added(street: Street) -> None:
    before, lost_with_the_slot = made_up("again", 1, 40), made_up("again", 2, 43)[40:]
    came = street.produce(before)
    with street.sink() as sink:
        street.wait_until_done()
        again = street.produce([*before, *lost_with_the_slot], op="r")
        street.wait_until_done()
        assert sink.metric("finlake_sink_read_again_total") == 40
    assert_exact(street, "again", came + again[40:])


def test_offsets_that_kafka_deleted_unread_are_noted_and_the_rest_goes_on(street: Street) -> None:
    with street.sink() as sink:
        sink.wait_until_ok()
        street.wait_until_done()
        assert sink.stop() == 0
    lost = street.produce(made_up("gap", 1, 10))
    kept = street.produce(made_up("gap", 2, 10))
    committed = street.committed()[0]
    street.delete_before(kept[0].offset)
    with street.sink() as sink:
        street.wait_until_done()
        assert sink.metric("finlake_sink_lost_offsets_total") == kept[0].offset - committed
        assert [event for event in sink.events() if event["level"] == "error"]
    gaps = street.rows("SELECT topic, kafka_partition, first_offset, last_offset FROM speed.sink_gaps")
    assert gaps == [(TOPIC, 0, committed, kept[0].offset - 1)]
    assert committed <= lost[0].offset
    assert_exact(street, "gap", kept)


def fill(path: Path) -> None:
    """Write until the disk is full."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while file.write(b"\0" * 4096):
            pass


def test_a_full_disk_is_waited_out_and_told_once(street: Street) -> None:
    disk = street.stack.layout.clickhouse
    if not os.path.ismount(disk):
        pytest.skip("no small disk could be mounted")
    with street.sink() as sink:
        sink.wait_until_ok()
        filler = disk / "filler"
        fill(filler)
        written = street.produce(made_up("full", 1, 2_000))
        wait_until(lambda: sink.health()["status"] == "waiting", "the sink to wait")
        assert "disk is full" in sink.health()["waiting_for"]
        filler.unlink()
        street.wait_until_done()
        assert len([event for event in sink.events() if event["event"] == "waiting"]) == 1
        assert sink.health()["status"] == "ok"
    assert_exact(street, "full", written)


def test_kafka_may_freeze_and_may_die(street: Street) -> None:
    with street.sink() as sink:
        sink.wait_until_ok()
        written = street.produce(made_up("pause", 1, 30))
        with street.stopped("kafka"):
            # Longer than a member may be silent.
            Event().wait(8)
        written += street.produce(made_up("pause", 2, 30))
        street.wait_until_done()
        sink.wait_until_ok()
        street.kill("kafka")
        wait_until(lambda: sink.health()["status"] == "waiting", "the sink to miss Kafka")
        sink.wait_until_ok()
        written += street.produce(made_up("pause", 3, 30))
        street.wait_until_done()
    assert_exact(street, "pause", written)


def test_a_member_whose_name_another_process_took_joins_anew(street: Street) -> None:
    with street.sink(instance="namesake") as sink:
        sink.wait_until_ok()
        street.take_name("namesake")
        written = street.produce(made_up("namesake", 1, 30))
        street.wait_until_done()
        assert sink.metric("finlake_sink_rejoins_total") > 0
    assert_exact(street, "namesake", written)


def test_two_sinks_share_partitions_and_hand_them_over_while_trades_flow(street: Street) -> None:
    partitions = range(3)
    street.ensure_partitions(len(partitions))
    written: list[Tick] = []

    def flow(seed: int) -> None:
        for partition in partitions:
            written.extend(street.produce(made_up("share", seed * 10 + partition, 40), partition=partition))

    with ExitStack() as running:
        first = running.enter_context(street.sink())
        first.wait_until_ok()
        flow(1)
        second = running.enter_context(street.sink())
        flow(2)
        wait_until(lambda: sum("partition given up" in event["event"] for event in first.events()) >= 1, "a hand-over")
        flow(3)
        street.wait_until_done(partitions)
        assert second.metric("finlake_sink_rows_total") > 0
        flow(4)
        assert first.stop() == 0
        flow(5)
        street.wait_until_done(partitions)
        assert second.metric("finlake_sink_rejoins_total") == 0
    assert_exact(street, "share", written)


def test_sinks_and_clickhouse_killed_at_random_lose_nothing_and_double_nothing(street: Street) -> None:
    chance = random.Random(20_260_302)
    replays = 0
    street.ensure_partitions(3)
    with ExitStack() as running:
        sinks = {name: running.enter_context(street.sink(instance=name)) for name in ("a", "b")}
        written = running.enter_context(flowing(street, "chaos", chance.getrandbits(32)))
        for turn in range(5):
            name, rows = chance.choice(["a", "b"]), chance.randint(0, 200)
            street.wait_for_rows(sinks[name], rows, written)
            if turn % 2:
                street.kill("clickhouse")
            sinks[name].kill()
            sinks[name] = running.enter_context(street.sink(instance=name))
        street.wait_for_rows(sinks[name], 0, written)
        written.stop()
        street.wait_until_done(range(3))
        replays = sum(bool(event.get("replays")) for log in street.logs.glob("*.log") for event in events_of(log))
    assert replays > 0
    assert_exact(street, "chaos", written.ticks)
