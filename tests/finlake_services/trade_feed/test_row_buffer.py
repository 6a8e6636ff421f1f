"""The buffer between reader and writer: in order, bounded, and it forgets nothing."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from finlake_services.trade_feed.row_buffer import RowBuffer
from finlake_services.trade_feed.rows import GapRow, Row


def numbered(start: int, count: int) -> list[Row]:
    return [GapRow(str(number), None, 0, "lost", []) for number in range(start, start + count)]


@given(st.lists(st.integers(1, 20), max_size=30), st.integers(1, 30), st.integers(1, 25))
def test_rows_come_out_as_they_went_in_and_never_more_than_fit(sizes: list[int], capacity: int, most: int) -> None:
    async def scenario() -> tuple[list[Row], int]:
        buffer, out, deepest = RowBuffer(capacity), list[Row](), 0

        async def fill() -> None:
            start = 0
            for size in sizes:
                await buffer.put(numbered(start, size))
                start += size
            buffer.close()

        filling = asyncio.create_task(fill())
        while batch := await buffer.take(most):
            deepest = max(deepest, buffer.depth)
            assert len(batch) <= most
            out += batch
            buffer.settle(len(batch))
        await filling
        return out, deepest

    out, deepest = asyncio.run(asyncio.wait_for(scenario(), 10))
    assert out == numbered(0, sum(sizes))
    # A message larger than the buffer goes in alone.
    assert deepest <= max(capacity, max(sizes, default=0))


def test_rows_that_are_being_written_still_take_room() -> None:
    async def scenario() -> None:
        buffer = RowBuffer(10)
        await buffer.put(numbered(0, 10))
        await buffer.take(10)
        waiting = asyncio.create_task(buffer.put(numbered(10, 1)))
        await asyncio.sleep(0)
        assert not waiting.done()
        buffer.settle(10)
        await asyncio.wait_for(waiting, 5)
        assert buffer.depth == 1

    asyncio.run(scenario())


def test_rows_of_a_reader_who_is_stopped_while_waiting_are_kept() -> None:
    async def scenario() -> list[Row]:
        buffer = RowBuffer(2)
        await buffer.put(numbered(0, 2))
        waiting = asyncio.create_task(buffer.put(numbered(2, 2)))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        buffer.close()
        return [row for _ in range(2) for row in await buffer.take(3)]

    assert asyncio.run(scenario()) == numbered(0, 4)
