"""What a connector hands to a job: the shape of a file, a slot, a record, and of the topics they are read from.

Does not belong here: how they are obtained (finlake_clients) or read (spark/transforms/bronze).
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol


class SourceFile(Protocol):
    """A file of one ticker as a connector hands it over."""

    @property
    def ticker(self) -> str: ...
    @property
    def content(self) -> bytes: ...
    @property
    def sha256(self) -> str: ...
    @property
    def source_kind(self) -> str: ...
    @property
    def source_name(self) -> str: ...
    @property
    def fetched_ts(self) -> datetime: ...
    @property
    def fetched_ts_kind(self) -> str: ...


class SourceProblem(Protocol):
    """Something a connector could not hand over: `thing` names it, its text says why and what to do."""

    thing: str


class Slot(Protocol):
    """A 15-minute file of news as the connector hands it over; `content` is the unzipped member."""

    @property
    def label_ts(self) -> datetime: ...
    @property
    def status(self) -> str: ...
    @property
    def md5(self) -> str: ...
    @property
    def zip_bytes(self) -> int: ...
    @property
    def content(self) -> bytes: ...
    @property
    def message(self) -> str: ...


class Record(Protocol):
    """A record of a topic as Kafka gives it; `appended_ts` is UTC."""

    @property
    def offset(self) -> int: ...
    @property
    def appended_ts(self) -> datetime: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...


class PartitionWatermarks(Protocol):
    """What a partition holds now: from offset `first` up to `end`, which is not part of it."""

    @property
    def first(self) -> int: ...
    @property
    def end(self) -> int: ...


class Topics(Protocol):
    """Kafka as the archive needs it, committed transactions only."""

    def watermarks(self, topic: str) -> Mapping[int, PartitionWatermarks]:
        """What each partition holds now."""
        ...

    def offsets_at(self, topic: str, moment: datetime) -> Mapping[int, int]:
        """By partition the first offset appended at `moment` or later; its end where there is none."""
        ...

    def schema_of(self, number: int) -> str | None:
        """The text of a schema by which records are written, None for a number that no registry knows."""
        ...

    def read(self, topic: str, partition: int, first: int, end: int) -> Iterator[Sequence[Record]]:
        """The records from `first` up to `end` in order, in batches."""
        ...
