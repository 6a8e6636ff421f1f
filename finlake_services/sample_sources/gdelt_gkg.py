"""GDELT's paths: the lists of files, and each 15-minute file."""

import re
from datetime import UTC, datetime

from fastapi import APIRouter, Request, Response

from finlake_services.sample_sources import archive, news
from finlake_services.sample_sources.faults import Faults

_RANGE = re.compile(r"^bytes=(\d+)-(\d*)$")


def router(faults: Faults) -> APIRouter:
    """GDELT's paths."""
    paths = APIRouter()

    @paths.api_route("/gdeltv2/masterfilelist.txt", methods=["GET", "HEAD"])
    def master_list(request: Request) -> Response:
        damage = _http_damage(faults.take("gdelt", "masterfilelist.txt"))
        return damage or _ranged(request, archive.master_list(str(request.base_url).rstrip("/"), faults))

    @paths.get("/gdeltv2/lastupdate.txt")
    def last_update(request: Request) -> Response:
        damage = _http_damage(faults.take("gdelt", "lastupdate.txt"))
        body = archive.last_update(str(request.base_url).rstrip("/"))
        return damage or Response(body, media_type="text/plain")

    @paths.get("/gdeltv2/{stamp}.gkg.csv.zip")
    def gkg_zip(stamp: str) -> Response:
        return _gkg_answer(stamp, faults.take("gdelt", stamp))

    @paths.get("/moved/{stamp}.gkg.csv.zip")
    def moved_gkg_zip(stamp: str) -> Response:
        return _gkg_answer(stamp, None)

    return paths


def _gkg_answer(stamp: str, fault: str | None) -> Response:
    if fault in ("redirect", "redirect_ftp"):
        target = f"/moved/{stamp}.gkg.csv.zip"
        location = target if fault == "redirect" else f"ftp://127.0.0.1{target}"
        return Response(status_code=301, headers={"location": location})
    if (damage := _http_damage(fault)) is not None:
        return damage
    try:
        label = datetime.strptime(stamp, news.STAMP_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        return _not_found()
    if fault in ("absent", "missing") or not archive.holds(label):
        return _not_found()
    return Response(archive.damaged_zip(label, fault), media_type="application/zip")


def _http_damage(fault: str | None) -> Response | None:
    if fault == "http_503":
        return Response("Service Unavailable", status_code=503, media_type="text/plain")
    if fault == "http_403":
        return Response("<Error><Code>AccessDeniedError</Code></Error>", status_code=403, media_type="application/xml")
    if fault == "unknown_page":
        return Response("<html><body>Please sign in to this network</body></html>", media_type="text/html")
    return None


def _not_found() -> Response:
    return Response("<Error><Code>NoSuchKey</Code></Error>", status_code=404, media_type="application/xml")


def _ranged(request: Request, body: bytes) -> Response:
    """The body, or the part of it that a single `Range: bytes=a-b` asks for."""
    headers = {"accept-ranges": "bytes"}
    wanted = _RANGE.match(request.headers.get("range", ""))
    if wanted is None:
        return Response(body, media_type="text/plain", headers=headers)
    first = int(wanted[1])
    last = min(int(wanted[2]) if wanted[2] else len(body) - 1, len(body) - 1)
    if first >= len(body) or last < first:
        return Response(status_code=416, headers={"content-range": f"bytes */{len(body)}"})
    headers["content-range"] = f"bytes {first}-{last}/{len(body)}"
    return Response(body[first : last + 1], status_code=206, media_type="text/plain", headers=headers)
