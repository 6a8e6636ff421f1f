"""Compression of requests and answers: HTTP's content encodings, and ClickHouse's own checked blocks (`compress=1`)."""

import struct
import zlib
from collections.abc import Callable
from typing import Final, Protocol

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


def _too_large(limit: int) -> ClickHouseError:
    return ClickHouseError(307, "TOO_MANY_BYTES", f"Request body is larger than {limit} bytes; send it in parts")


def _bad_encoding(encoding: str, error: Exception) -> ClickHouseError:
    return ClickHouseError(354, "ZLIB_INFLATE_FAILED", f"Request body is not valid {encoding}: {error}")


def decode_body(body: bytes, encoding: str, limit: int) -> bytes:
    """The request's body without its Content-Encoding. Raises `ClickHouseError` when unknown, broken or beyond `limit` bytes."""
    if encoding in ("", "identity"):
        return body
    if encoding in ("gzip", "x-gzip", "deflate"):
        return _inflate(body, encoding, limit)
    if encoding == "zstd":
        return _read_limited(_zstd().stream_reader(body, read_across_frames=True).read, encoding, limit)
    if encoding == "lz4":
        return _read_limited(lambda size: lz4.frame.LZ4FrameDecompressor().decompress(body, max_length=size), encoding, limit)
    raise ClickHouseError(89, "UNKNOWN_COMPRESSION_METHOD", f"Unknown Content-Encoding {encoding!r}; use lz4, zstd or gzip")


def _inflate(body: bytes, encoding: str, limit: int) -> bytes:
    # 32 + 15: gzip and zlib headers are told apart by the library.
    decompressor = zlib.decompressobj(32 + zlib.MAX_WBITS)
    try:
        decoded = decompressor.decompress(body, limit + 1)
    except zlib.error as error:
        raise _bad_encoding(encoding, error) from error
    if len(decoded) > limit:
        raise _too_large(limit)
    if not decompressor.eof:
        raise _bad_encoding(encoding, EOFError("it is cut off"))
    return decoded


def _read_limited(read: Callable[[int], bytes], encoding: str, limit: int) -> bytes:
    try:
        decoded = read(limit + 1)
    except (zstandard.ZstdError, RuntimeError, EOFError) as error:
        raise _bad_encoding(encoding, error) from error
    if len(decoded) > limit:
        raise _too_large(limit)
    return decoded


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
        return b"".join(self._block(part[start:start + _BLOCK_BYTES]) for start in range(0, len(part), _BLOCK_BYTES))

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
    "lz4": _Lz4, "zstd": _Zstd, "gzip": lambda: _Deflate(16 + zlib.MAX_WBITS), "deflate": lambda: _Deflate(zlib.MAX_WBITS),
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
        parts.append(_unpack(method, body[start + _HEADER.size:end], raw_bytes))
        position = end
    return b"".join(parts)


def _unpack(method: int, packed: bytes, raw_bytes: int) -> bytes:
    """The block's data, which must be the `raw_bytes` that its header says: that number was held against the limit."""
    try:
        if method == _LZ4:
            raw = bytes(lz4.block.decompress(packed, uncompressed_size=raw_bytes))
        elif method == _ZSTD:
            # Not `decompress`: that makes room for the size that the frame itself states, whatever the most is said to be.
            raw = _zstd().stream_reader(packed).read(raw_bytes + 1)
        elif method == _NONE:
            raw = packed
        else:
            raise ClickHouseError(89, "UNKNOWN_COMPRESSION_METHOD", f"Unknown compression method {method:#x} of a block")
    except (lz4.block.LZ4BlockError, zstandard.ZstdError, MemoryError, OverflowError, ValueError) as error:
        raise ClickHouseError(271, "CANNOT_DECOMPRESS", f"Cannot decompress block: {error}") from error
    if len(raw) != raw_bytes:
        raise ClickHouseError(271, "CANNOT_DECOMPRESS", f"Cannot decompress block: not the {raw_bytes} bytes of its header")
    return raw


def _zstd() -> zstandard.ZstdDecompressor:
    return zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES)
