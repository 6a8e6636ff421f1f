"""Faults on demand: which answers of the sample sources are to go wrong, and for how many requests.

A fault is named by source and target: a Stooq code (`aapl.us`), a GDELT slot stamp (`20180312140000`), a list
(`masterfilelist.txt`), a Finnhub symbol (`AAPL`), its symbol look-up (`search`) or websocket (`ws`), or `*` for every
target of the source.
"""

from dataclasses import dataclass
from threading import Lock
from typing import Literal, get_args

Source = Literal["stooq", "gdelt", "finnhub"]
StooqFaultKind = Literal[
    "no_data",
    "limit",
    "limit_pl",
    "apikey",
    "challenge",
    "denied",
    "empty",
    "unknown_page",
    "echo",
    "cut",
    "http_503",
    "pl",
    "bom",
    "split",
    "dividend",
    "uneven",
    "broken",
]
GdeltFaultKind = Literal[
    "absent",
    "unlisted",
    "missing",
    "empty",
    "lying_size",
    "wrong_md5",
    "truncated",
    "corrupt_zip",
    "two_members",
    "bomb",
    "http_503",
    "http_403",
    "redirect",
    "redirect_ftp",
    "unknown_page",
]
FinnhubFaultKind = Literal["limit", "invalid_key", "no_access", "http_503", "unknown_page", "cut", "unknown_symbol"]
KINDS: dict[Source, tuple[str, ...]] = {
    "stooq": get_args(StooqFaultKind),
    "gdelt": get_args(GdeltFaultKind),
    "finnhub": get_args(FinnhubFaultKind),
}


class UnknownFaultError(ValueError):
    """A source or fault kind that the sample sources do not know; the message lists the known ones."""


@dataclass(frozen=True)
class VendorFault:
    """A fault and the number of requests it still spoils; None means until it is cleared."""

    kind: str
    times: int | None = None


class Faults:
    """The faults in force, safe to change while requests are served."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._faults: dict[tuple[str, str], VendorFault] = {}

    def set(self, source: str, target: str, fault: VendorFault) -> None:
        """Put a fault in force; raises UnknownFaultError for a source or kind that does not exist."""
        known = {str(name): kinds for name, kinds in KINDS.items()}.get(source)
        if known is None:
            raise UnknownFaultError(f"source {source!r} is unknown: use one of {', '.join(KINDS)}")
        if fault.kind not in known:
            raise UnknownFaultError(f"{source} has no fault {fault.kind!r}: use one of {', '.join(known)}")
        with self._lock:
            self._faults[(source, target)] = fault

    def clear(self) -> None:
        """Let every answer be right again."""
        with self._lock:
            self._faults.clear()

    def peek(self, source: Source, target: str) -> str | None:
        """The fault kind in force for a target, without using up one of its times."""
        with self._lock:
            fault = self._faults.get((source, target)) or self._faults.get((source, "*"))
            return fault.kind if fault else None

    def take(self, source: Source, target: str) -> str | None:
        """The fault kind for one request of a target; a fault with `times` ends after that many requests."""
        with self._lock:
            key = (source, target) if (source, target) in self._faults else (source, "*")
            fault = self._faults.get(key)
            if fault is None:
                return None
            if fault.times is not None:
                if fault.times <= 1:
                    del self._faults[key]
                else:
                    self._faults[key] = VendorFault(fault.kind, fault.times - 1)
            return fault.kind

    def listing(self) -> dict[str, dict[str, str]]:
        """All faults in force as source, target, kind."""
        with self._lock:
            listed: dict[str, dict[str, str]] = {}
            for (source, target), fault in self._faults.items():
                listed.setdefault(source, {})[target] = fault.kind
            return listed
