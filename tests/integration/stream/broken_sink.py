"""A sink with its two safeguards taken out: it plans no block and gives no token. Started instead of the service."""

import typer

from finlake_services.clickhouse_sink import clickhouse
from finlake_services.clickhouse_sink.__main__ import main
from finlake_services.clickhouse_sink.effects import SinkEffects
from finlake_services.clickhouse_sink.exactly_once import Partition

commit_as_made = SinkEffects.commit


def commit_without_plan(self: SinkEffects, partition: Partition, offset: int, metadata: str) -> None:
    """Commit only when nothing is in flight, as a consumer does that knows of no plans."""
    if not metadata:
        commit_as_made(self, partition, offset, metadata)


if __name__ == "__main__":
    SinkEffects.commit = commit_without_plan  # type: ignore[method-assign]
    clickhouse.ONCE.update(insert_deduplicate=0)
    typer.run(main)
