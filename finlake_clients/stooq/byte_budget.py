"""How many bytes one look at the drop location may hand over."""

from dataclasses import dataclass, field

from finlake_clients.source_errors import TooLargeError

MAX_BATCH_BYTES = 1024**3
"""Of all files that one look at the drop location hands over: they are in memory together."""


@dataclass
class ByteBudget:
    """Bytes of usable files that one look may still keep in memory."""

    left: int = field(default_factory=lambda: MAX_BATCH_BYTES)

    def take(self, byte_count: int, name: str) -> None:
        """Count a file's bytes; raises TooLargeError when it needs more than is left."""
        if byte_count > self.left:
            raise TooLargeError(
                name,
                "the files of the drop location that concern the universe are together larger than what is read at "
                f"once, {MAX_BATCH_BYTES:,} bytes",
                "Move away files that are ingested, and run again",
            )
        self.left -= byte_count
