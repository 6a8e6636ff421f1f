"""GDELT's file side: zips with a stable MD5, the master list, and the ways a slot goes wrong."""

import hashlib
import io
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, lru_cache
from importlib.resources import files

from finlake_services.sample_sources import news
from finlake_services.sample_sources.faults import Faults

REAL_LABEL = datetime(2023, 7, 2, 15, 30, tzinfo=UTC)
_BOMB_BYTES = 256 * 1024 * 1024
# Kinds whose damaged body is what the list describes, so that size and MD5 agree with what is served.
_LISTED_AS_SERVED = ("empty", "corrupt_zip", "two_members", "bomb")


@dataclass(frozen=True)
class Listed:
    """Size and MD5 of a file as the master list gives them."""

    size: int
    md5: str


def stamp(label: datetime) -> str:
    """A label as the vendor writes it: YYYYMMDDHHMMSS."""
    return label.strftime(news.STAMP_FORMAT)


def labels() -> list[datetime]:
    """Every label the sample archive holds, ascending."""
    return [*news.labels(), REAL_LABEL]


def holds(label: datetime) -> bool:
    """Whether the sample archive has a file for a label."""
    return label == REAL_LABEL or news.is_in_window(label)


def _zipped(label: datetime, members: Iterable[tuple[str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, body in members:
            # The time of the member is the label, not now: equal content gives an equal MD5.
            info = zipfile.ZipInfo(name, date_time=label.timetuple()[:6])
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, body)
    return buffer.getvalue()


def _member_name(label: datetime) -> str:
    return f"{stamp(label)}.gkg.csv"


@lru_cache(maxsize=128)
def slot_zip(label: datetime) -> bytes:
    """The zip of one slot, byte for byte the same every time; the real slot is GDELT's own file."""
    if label == REAL_LABEL:
        return files("finlake_services.sample_sources").joinpath("data", f"{stamp(label)}.gkg.csv.zip").read_bytes()
    return _zipped(label, [(_member_name(label), news.slot_rows(label))])


@cache
def listed(label: datetime) -> Listed:
    """Size and MD5 of the undamaged zip of a slot."""
    return _listed(slot_zip(label))


def _listed(body: bytes) -> Listed:
    return Listed(len(body), hashlib.md5(body, usedforsecurity=False).hexdigest())


def damaged_zip(label: datetime, kind: str | None) -> bytes:
    """What is served for a slot under a fault that damages the body; the sound zip for any other."""
    name = _member_name(label)
    if kind == "empty":
        return _zipped(label, [(name, b"")])
    if kind == "two_members":
        return _zipped(label, [(name, news.slot_rows(label)), ("readme.txt", b"not in the vendor's layout")])
    if kind == "bomb":
        return _bomb(label)
    if kind in ("truncated", "corrupt_zip"):
        sound = slot_zip(label)
        return sound[: len(sound) // 2]
    return slot_zip(label)


@lru_cache(maxsize=1)
def _bomb(label: datetime) -> bytes:
    return _zipped(label, [(_member_name(label), bytes(_BOMB_BYTES))])


def _listed_under(label: datetime, kind: str | None) -> Listed | None:
    """What the master list says of a slot under a fault; None when the list leaves it out."""
    if kind in ("unlisted", "missing"):
        return None
    if kind in _LISTED_AS_SERVED:
        return _listed(damaged_zip(label, kind))
    sound = listed(label)
    if kind == "lying_size":
        return Listed(sound.size // 500 + 1, sound.md5)
    if kind == "wrong_md5":
        return Listed(sound.size, sound.md5[::-1])
    return sound


def _lines(label: datetime, base_url: str, gkg: Listed | None) -> list[str]:
    """The three lines of a slot; events and mentions are listed as the vendor does, but are not served."""
    lines = []
    for suffix in ("export.CSV.zip", "mentions.CSV.zip"):
        url = f"{base_url}/gdeltv2/{stamp(label)}.{suffix}"
        digest = hashlib.md5(url.encode(), usedforsecurity=False).hexdigest()
        lines.append(f"{60_000 + int(digest[:4], 16)} {digest} {url}\n")
    if gkg is not None:
        lines.append(f"{gkg.size} {gkg.md5} {base_url}/gdeltv2/{stamp(label)}.gkg.csv.zip\n")
    return lines


def master_list(base_url: str, faults: Faults) -> bytes:
    """The whole list, ascending, `<size> <md5> <url>` a line; `base_url` has no trailing slash."""
    return "".join(
        line for label in labels() for line in _lines(label, base_url, _listed_under(label, faults.peek("gdelt", stamp(label))))
    ).encode("ascii")


def last_update(base_url: str) -> bytes:
    """The three lines of the last generated slot."""
    label = news.LAST_LABEL
    return "".join(_lines(label, base_url, listed(label))).encode("ascii")
