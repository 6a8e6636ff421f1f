"""Compression of requests and answers: HTTP's content encodings, and ClickHouse's own checked blocks (`compress=1`)."""

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any, Final, Protocol

import lz4.block
import lz4.frame
import zstandard

from finlake_services.clickhouse_local.errors import ClickHouseError

MINIMUM_BYTES: Final = 1400
"""A whole answer below this fits one packet and is sent as it is."""

_BLOCK_BYTES: Final = 1 << 20
_HEADER: Final = struct.Struct("<BII")
_CHECKSUM_BYTES: Final = 16
_LZ4, _ZSTD, _NONE = 0x82, 0x90, 0x02
_ZSTD_WINDOW_BYTES: Final = 8 << 20
"""What a decoder of zstd must be able to keep (RFC 9659), and all that this one does."""
MOST_MEMBERS: Final = 1 << 16
"""Members of a gzip body, frames of a zstd or lz4 one: each is begun again, however little is in it."""
_FIRST_PIECE_BYTES: Final = 1 << 9
"""Of a member so much is given to its decoder at first, and then more: what lies behind its end comes back as a copy."""
_MOST_PIECE_BYTES: Final = 1 << 16
_LZ4_PART_BYTES: Final = 1 << 20
"""The decoder of lz4 makes room at once for all that it may give."""


def _too_large(limit: int) -> ClickHouseError:
    return ClickHouseError(307, "TOO_MANY_BYTES", f"Request body is larger than {limit} bytes; send it in parts")


def _bad_encoding(encoding: str, error: Exception) -> ClickHouseError:
    return ClickHouseError(354, "ZLIB_INFLATE_FAILED", f"Request body is not valid {encoding}: {error}")


def decode_body(body: bytes, encoding: str, limit: int) -> bytes:
    """The request's body without its Content-Encoding. Raises `ClickHouseError` when unknown, broken or beyond `limit` bytes."""
    if encoding in ("", "identity"):
        return body
    try:
        if encoding in ("gzip", "x-gzip", "deflate"):
            return _unpack_members(body, limit, _open_zlib, _MOST_PIECE_BYTES)
        if encoding == "zstd":
            return _unzstd(body, limit)
        if encoding == "lz4":
            return _unpack_members(body, limit, _OneLz4, _MOST_PIECE_BYTES)
    except _LongerError as error:
        raise _too_large(limit) from error
    except (zlib.error, zstandard.ZstdError, RuntimeError, EOFError, ValueError) as error:
        raise _bad_encoding(encoding, error) from error
    raise ClickHouseError(89, "UNKNOWN_COMPRESSION_METHOD", f"Unknown Content-Encoding {encoding!r}; use lz4, zstd or gzip")


class _LongerError(ValueError):
    """What is packed is longer than it may be."""


def _unpack_members(body: bytes, limit: int, open_member: Callable[[], Any], most_piece_bytes: int) -> bytes:
    """All members of a body one behind the other, as ClickHouse reads them.

    `open_member` makes a decoder like `zlib`'s for the next one. Raises `_LongerError` beyond `limit` bytes, EOFError for
    a member that is cut off, ValueError for too many, and whatever the decoder does for what is no member.
    """
    unpacked, view, position, members = io.BytesIO(), memoryview(body), 0, 0
    while position < len(body):
        members += 1
        if members > MOST_MEMBERS:
            raise ValueError(f"it has more than {MOST_MEMBERS} members; send it in one")
        member, piece_bytes = open_member(), min(_FIRST_PIECE_BYTES, most_piece_bytes)
        while not member.eof:
            piece = view[position : position + piece_bytes]
            if not piece:
                raise EOFError("it is cut off")
            unpacked.write(member.decompress(piece, limit - unpacked.tell() + 1))
            if unpacked.tell() > limit:
                raise _LongerError(f"it is longer than {limit} bytes")
            position += len(piece)
            piece_bytes = min(2 * piece_bytes, most_piece_bytes)
        position -= len(member.unused_data)
    return unpacked.getvalue()


def _open_zlib() -> Any:
    # 32 + 15: gzip and zlib headers are distinguished by the library.
    return zlib.decompressobj(32 + zlib.MAX_WBITS)


class _OneLz4:
    """A frame of lz4, read as `zlib` reads a member."""

    def __init__(self) -> None:
        self._frame = lz4.frame.LZ4FrameDecompressor()

    @property
    def eof(self) -> bool:
        return bool(self._frame.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._frame.unused_data or b"")

    def decompress(self, packed: memoryview, most: int) -> bytes:
        parts, left = [], most
        while True:
            parts.append(self._frame.decompress(packed, max_length=min(left, _LZ4_PART_BYTES)))
            packed, left = packed[:0], left - len(parts[-1])
            if left == 0 or self._frame.eof or self._frame.needs_input:
                return b"".join(parts)


class _OneZstd:
    """A frame of zstd, read as `zlib` reads a member; what is given to it at once must be short, because it gives all of it."""

    def __init__(self, decompressor: zstandard.ZstdDecompressor) -> None:
        self._frame = decompressor.decompressobj()

    @property
    def eof(self) -> bool:
        return self._frame.eof

    @property
    def unused_data(self) -> bytes:
        return self._frame.unused_data

    def decompress(self, packed: memoryview, _most: int) -> bytes:
        return self._frame.decompress(packed)


def _unzstd(packed: bytes, limit: int) -> bytes:
    # 512 bytes may be 128 blocks of 128 KiB each.
    decompressor = _zstd()
    return _unpack_members(packed, limit, lambda: _OneZstd(decompressor), _FIRST_PIECE_BYTES)


class Encoder(Protocol):
    """Turns an answer's parts into what goes over the wire."""

    def encode(self, part: bytes) -> bytes:
        """The next part; may be kept back."""

    def finish(self) -> bytes:
        """What was kept back."""


class Plain:
    """No encoding."""

    def encode(self, part: bytes) -> bytes:
        """The part itself."""
        return part

    def finish(self) -> bytes:
        """Nothing."""
        return b""


class CheckedBlocks:
    """ClickHouse's compressed blocks: CityHash128 of the rest, method, sizes, data."""

    def __init__(self, method: str) -> None:
        self._method = method.upper()

    def encode(self, part: bytes) -> bytes:
        """The part as one or more whole blocks."""
        return b"".join(self._block(part[start : start + _BLOCK_BYTES]) for start in range(0, len(part), _BLOCK_BYTES))

    def _block(self, raw: bytes) -> bytes:
        if self._method == "ZSTD":
            method, packed = _ZSTD, zstandard.ZstdCompressor(level=1).compress(raw)
        else:
            method, packed = _LZ4, lz4.block.compress(raw, store_size=False)
        block = _HEADER.pack(method, len(packed) + _HEADER.size, len(raw)) + packed
        return _checksum(block) + block

    def finish(self) -> bytes:
        """Nothing: blocks are whole."""
        return b""


class _Deflate:
    def __init__(self, window_bits: int) -> None:
        self._compressor = zlib.compressobj(3, zlib.DEFLATED, window_bits)

    def encode(self, part: bytes) -> bytes:
        return self._compressor.compress(part)

    def finish(self) -> bytes:
        return self._compressor.flush()


class _Zstd:
    def __init__(self) -> None:
        self._compressor = zstandard.ZstdCompressor(level=1).compressobj()

    def encode(self, part: bytes) -> bytes:
        return self._compressor.compress(part)

    def finish(self) -> bytes:
        return self._compressor.flush()


class _Lz4:
    def __init__(self) -> None:
        self._compressor = lz4.frame.LZ4FrameCompressor()
        self._kept = self._compressor.begin()

    def encode(self, part: bytes) -> bytes:
        kept, self._kept = self._kept, b""
        return bytes(kept + self._compressor.compress(part))

    def finish(self) -> bytes:
        return bytes(self._kept + self._compressor.flush())


_ENCODERS: Final[dict[str, Callable[[], Encoder]]] = {
    "lz4": _Lz4,
    "zstd": _Zstd,
    "gzip": lambda: _Deflate(16 + zlib.MAX_WBITS),
    "deflate": lambda: _Deflate(zlib.MAX_WBITS),
}


def chosen_encoding(accept_encoding: str) -> str | None:
    """The best encoding that a client's Accept-Encoding names, None without one that is known."""
    accepted = {part.split(";")[0].strip().lower() for part in accept_encoding.split(",")}
    return next((name for name in _ENCODERS if name in accepted), None)


def encoder(name: str) -> Encoder:
    """A new encoder for one answer."""
    return _ENCODERS[name]()


def _checksum(block: bytes) -> bytes:
    """CityHash128 in the version of ClickHouse, as it is written before a block."""
    try:
        from clickhouse_cityhash.cityhash import CityHash128
    except ImportError as error:
        raise ClickHouseError(48, "NOT_IMPLEMENTED", "compress=1 and decompress=1 need clickhouse-cityhash") from error
    digest: int = CityHash128(block)
    return struct.pack("<QQ", digest >> 64, digest & 0xFFFF_FFFF_FFFF_FFFF)


def decode_checked_blocks(body: bytes, limit: int) -> bytes:
    """The request's body out of ClickHouse's compressed blocks.

    Raises `ClickHouseError` for a wrong checksum (40), a cut block (33), an unknown method (89) or more than `limit` bytes (307).
    """
    parts: list[bytes] = []
    position = total = 0
    while position < len(body):
        start = position + _CHECKSUM_BYTES
        if len(body) < start + _HEADER.size:
            raise ClickHouseError(33, "CANNOT_READ_ALL_DATA", "Compressed block is cut off")
        method, packed_bytes, raw_bytes = _HEADER.unpack_from(body, start)
        end = start + packed_bytes
        total += raw_bytes
        if packed_bytes < _HEADER.size or len(body) < end:
            raise ClickHouseError(33, "CANNOT_READ_ALL_DATA", "Compressed block is cut off")
        if total > limit:
            raise _too_large(limit)
        if _checksum(body[start:end]) != body[position:start]:
            raise ClickHouseError(40, "CHECKSUM_DOESNT_MATCH", "Checksum doesn't match: corrupted data")
        parts.append(_unpack(method, body[start + _HEADER.size : end], raw_bytes))
        position = end
    return b"".join(parts)


def _unpack(method: int, packed: bytes, raw_bytes: int) -> bytes:
    """The block's data, which must be the `raw_bytes` that its header says: that number was held against the limit."""
    try:
        if method == _LZ4:
            raw = bytes(lz4.block.decompress(packed, uncompressed_size=raw_bytes))
        elif method == _ZSTD:
            # Not `decompress`: that makes room for the size that the frame itself states, whatever the most is said to be.
            raw = _unzstd(packed, raw_bytes)
        elif method == _NONE:
            raw = packed
        else:
            raise ClickHouseError(89, "UNKNOWN_COMPRESSION_METHOD", f"Unknown compression method {method:#x} of a block")
    except (lz4.block.LZ4BlockError, zstandard.ZstdError, EOFError, MemoryError, OverflowError, ValueError) as error:
        raise ClickHouseError(271, "CANNOT_DECOMPRESS", f"Cannot decompress block: {error}") from error
    if len(raw) != raw_bytes:
        raise ClickHouseError(271, "CANNOT_DECOMPRESS", f"Cannot decompress block: not the {raw_bytes} bytes of its header")
    return raw


def _zstd() -> zstandard.ZstdDecompressor:
    return zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES)
