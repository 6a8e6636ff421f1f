"""A packed body is unpacked to its very end, or refused: nothing of it is dropped under a good answer."""

import gzip
import struct
import zlib
from collections.abc import Callable

import lz4.frame
import pytest
import zstandard
from clickhouse_cityhash.cityhash import CityHash128
from hypothesis import given
from hypothesis import strategies as st

from finlake_services.clickhouse_local.compression import MOST_MEMBERS, decode_body, decode_checked_blocks
from finlake_services.clickhouse_local.errors import ClickHouseError

PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "lz4": lz4.frame.compress,
}
LIMIT = 1 << 20


def refusal(body: bytes, encoding: str, limit: int = LIMIT) -> int:
    with pytest.raises(ClickHouseError) as raised:
        decode_body(body, encoding, limit)
    return raised.value.code


@pytest.mark.parametrize("encoding", PACK)
@given(parts=st.lists(st.binary(max_size=2_000) | st.integers(0, 200_000).map(lambda size: b"x" * size), min_size=1, max_size=4))
def test_all_members_of_a_body_are_unpacked(encoding: str, parts: list[bytes]) -> None:
    assert decode_body(b"".join(map(PACK[encoding], parts)), encoding, LIMIT) == b"".join(parts)


@pytest.mark.parametrize("encoding", PACK)
@pytest.mark.parametrize("rest", [b"\0", b"\n", b"rubbish, and a good deal of it", b"\0" * 4096])
def test_what_follows_the_last_member_is_refused(encoding: str, rest: bytes) -> None:
    assert refusal(PACK[encoding](b"SELECT 1") + rest, encoding) == 354
    assert refusal(PACK[encoding](b"SELECT 1") * 2 + rest, encoding) == 354


@pytest.mark.parametrize("encoding", PACK)
@given(st.data())
def test_a_body_that_is_cut_off_is_refused_wherever_it_is(encoding: str, data: st.DataObject) -> None:
    first, second = (PACK[encoding](data.draw(st.binary(min_size=1, max_size=1_000))) for _ in range(2))
    cut = data.draw(st.integers(1, len(second) - 1))
    assert refusal(first + second[:cut], encoding) == 354
    assert refusal(second[:cut], encoding) == 354


@pytest.mark.parametrize("encoding", PACK)
def test_the_limit_holds_for_all_members_together(encoding: str) -> None:
    half = PACK[encoding](b" " * 500)
    assert decode_body(half * 2, encoding, 1_000) == b" " * 1_000
    assert refusal(half * 2, encoding, 999) == 307
    assert refusal(half + PACK[encoding](b" " * (64 << 20)), encoding, 1_000) == 307


@pytest.mark.parametrize("encoding", PACK)
def test_members_without_end_are_refused(encoding: str) -> None:
    empty = PACK[encoding](b"")
    assert decode_body(empty * MOST_MEMBERS, encoding, 1_000) == b""
    assert refusal(empty * (MOST_MEMBERS + 1), encoding) == 354


@pytest.mark.parametrize("kind", [b"\x50\x2a\x4d\x18", b"\x5f\x2a\x4d\x18"])
def test_frames_that_are_to_be_skipped_are_skipped(kind: bytes) -> None:
    note = kind + struct.pack("<I", 4) + b"note"
    assert decode_body(note + PACK["zstd"](b"SELECT 1") + note, "zstd", LIMIT) == b"SELECT 1"


def test_a_block_of_two_frames_has_the_size_of_its_header_or_is_refused() -> None:
    packed = PACK["zstd"](b"SELECT 1 ") + PACK["zstd"](b"+ 41")
    for size, is_right in ((9, False), (13, True), (14, False)):
        block = struct.pack("<BII", 0x90, len(packed) + 9, size) + packed
        digest = CityHash128(block)
        framed = struct.pack("<QQ", digest >> 64, digest & (1 << 64) - 1) + block
        if is_right:
            assert decode_checked_blocks(framed, LIMIT) == b"SELECT 1 + 41"
        else:
            with pytest.raises(ClickHouseError) as raised:
                decode_checked_blocks(framed, LIMIT)
            assert raised.value.code == 271
