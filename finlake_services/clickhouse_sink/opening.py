"""Where a newly assigned partition is taken up, once it is known what ClickHouse holds of it: pure."""

from dataclasses import dataclass

from finlake_services.clickhouse_sink.exactly_once import Partition, Resumption, TopicReplacedError, resumption


@dataclass(frozen=True)
class Opening:
    """A partition as the group and its log have it; `table` is what its rows go to."""

    partition: Partition
    table: str
    resumed: Resumption
    is_first_commit: bool
    low: int
    high: int

    def has_forgotten(self, held: int | None) -> bool:
        """Whether the group's offsets expired: ClickHouse holds rows, up to offset `held`, and the group has no commit."""
        return self.is_first_commit and held is not None

    def after(self, held: int | None) -> Resumption:
        """Where to take it up when ClickHouse holds rows up to offset `held`, None: no row.

        After the last row when the group's offsets expired: rows would come twice. Raises TopicReplacedError.
        """
        if held is not None and held >= self.high:
            raise TopicReplacedError(
                f"ClickHouse holds offset {held} of {self.partition} but the log ends at {self.high}: the topic was created "
                f"anew. Empty {self.table} and its aggregates, or use a topic of another name",
            )
        if self.has_forgotten(held) and held is not None:
            return resumption(held + 1, "", self.low, self.high)
        return self.resumed
