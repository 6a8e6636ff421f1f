"""The sink, killed right after its first insert was acknowledged: `python -m tests.integration.stream.mortal_sink --spoil …`.

`--spoil` takes out what makes it exactly once, so that tests can see that it is needed.
"""

import os
from collections.abc import Callable
from typing import Annotated, Any

import typer

from finlake_services.clickhouse_sink import __main__ as sink
from finlake_services.clickhouse_sink.blocks import Block
from finlake_services.clickhouse_sink.clickhouse import SinkConnection
from finlake_services.clickhouse_sink.effects import SinkEffects
from finlake_services.clickhouse_sink.exactly_once import InFlightBlock, Partition, PartitionStream

STATUS = 99


def main(
    metrics_port: Annotated[int, typer.Option()],
    spoil: Annotated[str, typer.Option(help="nothing, plan or token")],
    instance: str | None = None,
    dies: bool = True,
) -> None:
    """Run the sink with the given part missing."""
    if spoil == "plan":
        PartitionStream._announce = _announce_nothing  # type: ignore[method-assign,assignment]
    if spoil == "token":
        insert = SinkConnection.insert
        SinkConnection.insert = lambda self, table, rows, token: insert(self, table, rows, f"{token}:{os.getpid()}")  # type: ignore[method-assign]
    if dies:
        SinkEffects.insert = _insert_and_die(SinkEffects.insert)  # type: ignore[method-assign]
    sink.main(metrics_port, 384, instance)


def _announce_nothing(self: PartitionStream[Block], plan: InFlightBlock) -> None:
    self._effects.commit(self.partition, plan.first, "")
    self._in_flight = plan


def _insert_and_die(insert: Callable[..., None]) -> Callable[..., None]:
    def inserting(self: SinkEffects, partition: Partition, token: str, prepared: Block, confirm: Any) -> None:
        insert(self, partition, token, prepared, confirm)
        os._exit(STATUS)

    return inserting


if __name__ == "__main__":
    typer.run(main)
