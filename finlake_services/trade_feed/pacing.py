"""How long to wait: before the next connection, before the next call, after a refusal."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from tenacity import AsyncRetrying, RetryCallState
from tenacity.wait import wait_random_exponential

LONGEST_RECONNECT_S = 60.0
SHORTEST_LIMIT_S, LONGEST_LIMIT_S = 1.0, 300.0
DEFAULT_LIMIT_S = 60.0

# Full jitter: anything from 0 to the doubled bound, so that many clients do not come back together.
_RECONNECT = wait_random_exponential(multiplier=1, max=LONGEST_RECONNECT_S)


def reconnect_wait_s(failures: int) -> float:
    """Seconds before the next connection after `failures` in a row (from 1): up to 1, 2, 4 … 60."""
    state = RetryCallState(AsyncRetrying(), None, (), {})
    state.attempt_number = failures
    return _RECONNECT(state)


def limit_wait_s(headers: Mapping[str, str], now: datetime) -> float:
    """Seconds that a 429 asks for: Retry-After (seconds or HTTP date), else X-Ratelimit-Reset (Unix seconds), else 60.

    Between 1 and 300 whatever is asked for: a wrong clock must not stop the feed. `headers` by lower-case name.
    """
    wait_s = DEFAULT_LIMIT_S
    retry_after, reset = headers.get("retry-after", "").strip(), headers.get("x-ratelimit-reset", "").strip()
    if retry_after.isdecimal():
        wait_s = float(retry_after)
    elif (moment := _http_date(retry_after)) is not None:
        wait_s = (moment - now).total_seconds()
    elif reset.isdecimal():
        wait_s = float(reset) - now.timestamp()
    return min(max(wait_s, SHORTEST_LIMIT_S), LONGEST_LIMIT_S)


def _http_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@dataclass
class CallBudget:
    """No more than `calls` in any `window_s` seconds, and none while blocked; times are monotonic seconds.

    The window is a second longer than the vendor's minute: a call may travel slower than those behind it.
    """

    calls: int = 60
    window_s: float = 61.0
    _recent: deque[float] = field(default_factory=deque)
    _blocked_until_s: float = 0.0

    def wait_s(self, now_s: float) -> float:
        """Seconds until a call is allowed; 0 means now."""
        full_until_s = self._recent[0] + self.window_s if len(self._recent) >= self.calls else 0.0
        return max(full_until_s - now_s, self._blocked_until_s - now_s, 0.0)

    def spend(self, now_s: float) -> None:
        """Count a call that is made now."""
        self._recent.append(now_s)
        if len(self._recent) > self.calls:
            self._recent.popleft()

    def block(self, now_s: float, wait_s: float) -> None:
        """Allow no call for `wait_s` seconds."""
        self._blocked_until_s = max(self._blocked_until_s, now_s + wait_s)
