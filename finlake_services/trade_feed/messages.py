"""Finnhub's websocket messages: from bytes to typed trades, and a reason for whatever cannot be stored.

A flawed trade never costs its neighbours. A price of zero or a time in the future is not a flaw here: such trades are
stored and judged later. What cannot be stored is what no engine downstream could hold.
"""

import json
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from finlake_services.trade_feed.rows import TradeRow

RAW_TEXT_LIMIT = 4_000
"""Characters of a rejected message that are kept."""

LARGEST_NUMBER = 1e15
"""Prices and volumes beyond are refused: sums of their 1e-8 units must stay exact in 128 bits."""

LAST_TRADE_MS = 9_223_372_036_854
"""2262-04-11, the last millisecond that engines with 64-bit nanoseconds can hold."""

_LONGEST_SYMBOL = 64
_REASONS_KEPT = 5


class VendorTrade(msgspec.Struct, frozen=True, gc=False):
    """One entry of `data`: price in USD, symbol, Unix milliseconds, volume, condition codes (null for coins)."""

    p: float
    s: str
    t: int
    v: float
    c: list[str | None] | None = None


@dataclass(frozen=True)
class Trades:
    """A trade message: storable trades with their position in `data`, and why the others are not."""

    trades: list[tuple[int, VendorTrade]]
    rejections: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Ping:
    """A sign of life."""


@dataclass(frozen=True)
class VendorError:
    """The vendor complains, in its own words."""

    message: str


@dataclass(frozen=True)
class Malformed:
    """A message that as a whole cannot be understood."""

    reason: str


Message = Trades | Ping | VendorError | Malformed
MessageType = Literal["trade", "ping", "error", "malformed"]


class _Envelope(msgspec.Struct, gc=False):
    type: str
    data: list[VendorTrade] | None = None
    msg: str | None = None


_ENVELOPES = msgspec.json.Decoder(_Envelope)


def parse(raw: bytes) -> Message:
    """What a message says. Never raises: what cannot be understood is `Malformed` or a rejection."""
    try:
        envelope = _ENVELOPES.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # Something is wrong somewhere: look at it piece by piece.
        return _parse_piecewise(raw)
    if envelope.type == "trade" and envelope.data is not None:
        flaws = [flaw_of(trade) for trade in envelope.data]
        if not any(flaws):
            return Trades(list(enumerate(envelope.data)))
        return Trades(
            [(index, trade) for index, (trade, flaw) in enumerate(zip(envelope.data, flaws, strict=True)) if flaw is None],
            [f"trade {index}: {flaw}" for index, flaw in enumerate(flaws) if flaw is not None],
        )
    return _without_trades(envelope.type, envelope.msg)


def _parse_piecewise(raw: bytes) -> Message:
    """As `parse`, but by a decoder that reads NaN and Infinity too, and trade by trade."""
    try:
        content = json.loads(raw)
    except (ValueError, RecursionError) as error:
        return Malformed(f"not JSON: {error}")
    if not isinstance(content, dict) or not isinstance(content.get("type"), str):
        return Malformed("not an object with a type")
    entries = content.get("data")
    if content["type"] != "trade" or not isinstance(entries, list):
        return _without_trades(content["type"], str(content.get("msg")))
    trades: list[tuple[int, VendorTrade]] = []
    rejections: list[str] = []
    for index, entry in enumerate(entries):
        try:
            trade = msgspec.convert(entry, VendorTrade)
            flaw = flaw_of(trade)
        except msgspec.ValidationError as error:
            flaw = str(error)
        if flaw is None:
            trades.append((index, trade))
        else:
            rejections.append(f"trade {index}: {flaw}")
    return Trades(trades, rejections)


def _without_trades(kind: str, message: str | None) -> Message:
    match kind:
        case "ping":
            return Ping()
        case "error":
            return VendorError(storable(message or "no words", 200))
        case "trade":
            return Malformed("a trade message without a list of trades")
    return Malformed(f"unknown type {storable(kind, 40)!r}")


def flaw_of(trade: VendorTrade) -> str | None:
    """Why a trade cannot be stored, None when it can. NaN is in no range."""
    if not 0 < len(trade.s) <= _LONGEST_SYMBOL or not trade.s.isprintable():
        return f"the symbol is empty, longer than {_LONGEST_SYMBOL} characters or not printable"
    if not -LARGEST_NUMBER <= trade.p <= LARGEST_NUMBER:
        return f"the price {trade.p!r} is no number of finite size"
    if not -LARGEST_NUMBER <= trade.v <= LARGEST_NUMBER:
        return f"the volume {trade.v!r} is no number of finite size"
    if not 0 <= trade.t <= LAST_TRADE_MS:
        return "the time is before 1970 or after 2262, so it is not in milliseconds"
    if trade.c and not "".join(code or "" for code in trade.c).isprintable():
        return "a condition code is not printable"
    return None


def trade_rows(trades: list[tuple[int, VendorTrade]], received_us: int, connection_id: str, message_seq: int) -> list[TradeRow]:
    """Rows of a message's storable trades, in its order. A null among condition codes says nothing and is left out."""
    return [
        TradeRow(
            received_us, connection_id, message_seq, index, trade.s, trade.p, trade.v, trade.t,
            None if trade.c is None else [code for code in trade.c if code is not None],
        )
        for index, trade in trades
    ]


def rejection_reason(rejections: list[str]) -> str:
    """One reason for a message: its first few rejections and how many more there are."""
    more = len(rejections) - _REASONS_KEPT
    return "; ".join(rejections[:_REASONS_KEPT]) + (f"; and {more} more" if more > 0 else "")


def raw_text(raw: bytes) -> str:
    """A message as text that Postgres can store: cut, and what is not UTF-8 or not storable written out."""
    return storable(raw[: 4 * RAW_TEXT_LIMIT].decode("utf-8", "backslashreplace"), RAW_TEXT_LIMIT)


def storable(text: str, limit: int) -> str:
    """A text without the two things that Postgres refuses, NUL and lone surrogates, cut to `limit` characters."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\x00", "\\x00")[:limit]
