"""Finnhub's websocket messages: from bytes to typed trades, and a reason for whatever cannot be stored.

A flawed trade never costs its neighbours. What is stored and what is refused is decided by spark/contracts/stream_rows.py:
a price of zero or a time in the future is stored and validated later.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from finlake_services.trade_feed import json_pieces
from finlake_services.trade_feed.rows import TradeRow
from spark.contracts.stream_rows import in_unit, moment, objection_to_trade

RAW_TEXT_LIMIT = 4_000
"""Characters of a rejected message that are kept, the words about what was cut included."""

MESSAGE_UNIT = "ms"
"""The unit of a trade's time, as the vendor promises it."""

_LEAST_TEXT = 200
"""Characters of one rejected trade that are kept however many there are."""
_REASONS_KEPT = 5


class VendorTrade(msgspec.Struct, frozen=True, gc=False):
    """One entry of `data`: price in USD, symbol, Unix milliseconds, volume, condition codes (null for coins).

    A whole number may be written as 1700000000000.0.
    """

    p: float
    s: str
    t: int | float
    v: float
    c: list[str | None] | None = None


@dataclass(frozen=True)
class Refused:
    """One entry of `data` that cannot be stored: its position, why, and its own text."""

    index: int
    why: str
    text: bytes


@dataclass(frozen=True)
class Trades:
    """A trade message: storable trades with their position in `data` and times in milliseconds, and the refused ones.

    `converted` trades had times in another unit.
    """

    trades: list[tuple[int, VendorTrade]]
    refused: list[Refused] = field(default_factory=list)
    converted: int = 0


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


class _Pieces(msgspec.Struct, gc=False):
    type: str
    data: list[msgspec.Raw] | None = None
    msg: msgspec.Raw | None = None


_ENVELOPES = msgspec.json.Decoder(_Envelope)
_PIECES = msgspec.json.Decoder(_Pieces)
_TRADES = msgspec.json.Decoder(VendorTrade)
_TOO_DEEP = "brackets within brackets, too deep to be read"
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def parse(raw: bytes, received_us: int, connection_id: str) -> Message:
    """What a message says that was received at this Unix microsecond. Never raises: what cannot be understood is
    `Malformed` or refused."""
    try:
        envelope = _ENVELOPES.decode(raw)
    except _UNREADABLE:
        # Something is wrong somewhere: look at it piece by piece.
        return _parse_piecewise(raw, received_us, connection_id)
    if envelope.type != "trade" or envelope.data is None:
        return _without_trades(envelope.type, envelope.msg)
    validated = [_validated(trade, received_us, connection_id) for trade in envelope.data]
    if any(isinstance(each, str) for each in validated):
        return _trades(validated, [bytes(each) for each in _PIECES.decode(raw).data or ()], envelope.data)
    return _trades(validated, (), envelope.data)


def _parse_piecewise(raw: bytes, received_us: int, connection_id: str) -> Message:
    """As `parse`, but trade by trade, each with its own text."""
    try:
        pieces = _PIECES.decode(raw)
    except _UNREADABLE:
        return _parse_by_brackets(raw, received_us, connection_id)
    if pieces.type != "trade" or pieces.data is None:
        return _without_trades(pieces.type, _words(bytes(pieces.msg)) if pieces.msg else None)
    return _read_one_by_one([bytes(each) for each in pieces.data], received_us, connection_id)


def _parse_by_brackets(raw: bytes, received_us: int, connection_id: str) -> Message:
    """As `parse`, of a message that no decoder takes as a whole: cut at its brackets and commas."""
    parts = json_pieces.cut(raw, b"{}")
    values = json_pieces.by_key(parts or ())
    kind = _value(values.get(b'"type"', b""))
    if parts is None or not isinstance(kind, str):
        return Malformed(_why_unreadable(raw))
    texts = json_pieces.cut(values.get(b'"data"', b""), b"[]")
    if kind != "trade" or texts is None:
        return _without_trades(kind, _words(values[b'"msg"']) if b'"msg"' in values else None)
    return _read_one_by_one(texts, received_us, connection_id)


def _read_one_by_one(texts: Sequence[bytes], received_us: int, connection_id: str) -> Trades:
    found = [_read(text) for text in texts]
    return _trades([_validated(each, received_us, connection_id) for each in found], texts, found)


def _read(text: bytes) -> VendorTrade | str:
    """A trade; the second decoder reads NaN and Infinity, so that they are refused by name."""
    try:
        return _TRADES.decode(text)
    except RecursionError:
        return _TOO_DEEP
    except _UNREADABLE as error:
        reason = str(error)
    entry = _value(text)
    try:
        return reason if entry is None else msgspec.convert(entry, VendorTrade)
    except msgspec.ValidationError as error:
        return str(error)


def _value(text: bytes) -> object:
    """What some JSON says, NaN and Infinity included; None also for what cannot be read."""
    try:
        # As text: of bytes, other encodings than UTF-8 would be guessed.
        return json.loads(text.decode())
    except (ValueError, RecursionError):
        return None


def _words(text: bytes) -> str:
    """What the vendor says, or its text as it is when it cannot be read."""
    value = _value(text)
    return text.decode("utf-8", "backslashreplace") if value is None else str(value)


def _why_unreadable(raw: bytes) -> str:
    try:
        json.loads(raw.decode())
    except UnicodeDecodeError as error:
        return f"not UTF-8: byte 0x{raw[error.start]:02x} at position {error.start}"
    except RecursionError:
        return f"not JSON that can be read: {_TOO_DEEP}"
    except ValueError as error:
        return f"not JSON: {error}"
    return "not an object with a type"


def _validated(trade: VendorTrade | str, received_us: int, connection_id: str) -> VendorTrade | str:
    """The trade with its time in milliseconds, or why it cannot be stored."""
    if isinstance(trade, str):
        return trade
    stamp = trade.t
    if isinstance(stamp, float):
        if not stamp.is_integer():
            return f"the time {stamp!r} is no whole number"
        stamp = int(stamp)
    stamp = in_unit(stamp, MESSAGE_UNIT, received_us)
    objection = objection_to_trade(
        connection_id=connection_id,
        symbol=trade.s,
        price_usd=trade.p,
        volume_shares=trade.v,
        trade_ts=moment(stamp, MESSAGE_UNIT),
        conditions=_codes(trade),
    )
    if objection is not None:
        return objection.detail
    return trade if stamp is trade.t else msgspec.structs.replace(trade, t=stamp)


def _trades(
    validated: Sequence[VendorTrade | str],
    texts: Sequence[bytes],
    decoded: Sequence[VendorTrade | str],
) -> Trades:
    return Trades(
        [(index, each) for index, each in enumerate(validated) if isinstance(each, VendorTrade)],
        [Refused(index, each, texts[index]) for index, each in enumerate(validated) if isinstance(each, str)],
        sum(
            isinstance(now, VendorTrade) and isinstance(then, VendorTrade) and now.t != then.t
            for now, then in zip(validated, decoded, strict=True)
        ),
    )


def _codes(trade: VendorTrade) -> list[str]:
    """Condition codes; a null among them says nothing and is left out."""
    return [code for code in trade.c or () if code is not None]


def _without_trades(kind: str, message: str | None) -> Message:
    match kind:
        case "ping":
            return Ping()
        case "error":
            return VendorError(storable(message or "no words", 200))
        case "trade":
            return Malformed("a trade message without a list of trades")
    return Malformed(f"unknown type {storable(kind, 40)!r}")


def trade_rows(trades: list[tuple[int, VendorTrade]], received_us: int, connection_id: str, message_seq: int) -> list[TradeRow]:
    """Rows of a message's storable trades, in its order."""
    return [
        TradeRow(
            received_us,
            connection_id,
            message_seq,
            index,
            trade.s,
            trade.p,
            trade.v,
            int(trade.t),
            None if trade.c is None else _codes(trade),
        )
        for index, trade in trades
    ]


def rejection_reason(refused: Sequence[Refused]) -> str:
    """One reason for a message: its first few rejections and how many more there are."""
    more = len(refused) - _REASONS_KEPT
    reasons = "; ".join(f"trade {each.index}: {storable(each.why, 200)}" for each in refused[:_REASONS_KEPT])
    return reasons + (f"; and {more} more" if more > 0 else "")


def raw_text(raw: bytes, refused: Sequence[Refused] = ()) -> str:
    """A rejected message as text that Postgres can store, saying how much of it was cut.

    The whole message where it is short; else the texts of its refused trades; else its begin.
    """
    if len(raw) <= RAW_TEXT_LIMIT or not refused:
        return _cut(raw, RAW_TEXT_LIMIT)
    return "\n".join(_texts_of(raw, refused))


def _texts_of(raw: bytes, refused: Sequence[Refused]) -> Iterator[str]:
    kept = refused[: RAW_TEXT_LIMIT // (2 * _LEAST_TEXT)]
    head = f"[of a message of {len(raw)} bytes, {len(kept)} of {len(refused)} refused trades]"
    yield head
    share = (RAW_TEXT_LIMIT - len(head)) // len(kept)
    for each in kept:
        mark = f"trade {each.index}: "
        # One more for the end of the line.
        yield mark + _cut(each.text, share - len(mark) - 1)


def _cut(raw: bytes, limit: int) -> str:
    """The begin of some text, `limit` characters at most, and how many bytes were cut after it."""
    text = storable(raw[: 4 * limit].decode("utf-8", "backslashreplace"), 4 * limit)
    if len(raw) <= 4 * limit and len(text) <= limit:
        return text
    # The longest form of the mark: what it counts is less than the whole.
    room = limit - len(_mark(len(raw)))
    kept = text[:room]
    return kept + _mark(max(0, len(raw) - len(kept.encode())))


def _mark(cut_bytes: int) -> str:
    return f" [{cut_bytes} bytes more were cut]"


def storable(text: str, limit: int) -> str:
    """A text without the two things that Postgres refuses, NUL and lone surrogates, cut to `limit` characters."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\x00", "\\x00")[:limit]
