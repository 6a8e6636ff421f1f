"""Which stretches of time no connection covers.

The vendor has no replay: whatever was traded between the last message of one connection and the first of the next is
lost. A gap begins at the last sign of life of the old connection and ends at the first of the new one, so nothing that
is missing can lie outside of a gap. Before a new process has heard anything, the newest stored time is that last sign.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from finlake_services.trade_feed.rows import GapRow

GapReason = Literal["process_start", "closed", "lost", "silence", "refused"]
"""process_start: no feed was running. closed: the vendor closed the connection. lost: it broke. silence: nothing, not
even a ping, for too long. refused: the vendor turned the token down."""


@dataclass
class GapLedger:
    """Follows connections through their lives. `open_since_us` None: nothing was ever received."""

    open_since_us: int | None
    reason: GapReason = "process_start"
    is_open: bool = True

    def ended(self, last_message_us: int | None, reason: GapReason) -> None:
        """A connection is over. One that never spoke (None) leaves the gap before it open, with its own reason."""
        if last_message_us is None:
            return
        self.open_since_us, self.reason, self.is_open = last_message_us, reason, True

    def spoke(self, connection_id: str, message_us: int, symbols: Collection[str]) -> GapRow | None:
        """A connection gave a sign of life: the gap that this ends, if one is open."""
        if not self.is_open:
            return None
        self.is_open = False
        return GapRow(connection_id, self.open_since_us, max(message_us, self.open_since_us or 0), self.reason, list(symbols))
