"""The sample server over HTTP: the vendors' paths, lists that agree with files, faults on demand."""

import asyncio
import hashlib
import io
import re
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING

import httpx
import pytest

from finlake_services.sample_sources import archive, faults
from finlake_services.sample_sources.finnhub import TOKEN_HEADER
from finlake_services.sample_sources.server import MissingSampleError, create_app, sample_paths
from spark.contracts.bronze import GDELT_GKG

if TYPE_CHECKING:
    from tests.plugins.sample_server import SampleServer

pytest_plugins = ["tests.plugins.sample_server"]


def _stooq(server: "SampleServer", query: str) -> bytes:
    return httpx.get(f"{server.url}/q/d/l/?{query}").raise_for_status().content


def test_a_range_is_inclusive_and_the_code_is_not_case_sensitive(sample_server: "SampleServer") -> None:
    body = _stooq(sample_server, "s=AAPL.US&i=d&d1=20180326&d2=20180327")
    assert body == (
        b"Date,Open,High,Low,Close,Volume\r\n2018-03-26,168.07,173.1,166.44,172.77,36272617\r\n"
        b"2018-03-27,173.68,175.15,166.92,168.34,38962839\r\n"
    )


@pytest.mark.parametrize("query", ["s=nvda.us&i=d", "s=aapl.us&i=5", "s=aapl.us&i=d&d1=20300101"])
def test_what_is_not_there_answers_no_data(sample_server: "SampleServer", query: str) -> None:
    assert _stooq(sample_server, query) == b"No data"


def test_a_fault_can_be_asked_for_in_the_query(sample_server: "SampleServer") -> None:
    assert _stooq(sample_server, "s=aapl.us&i=d&_fault=denied") == b"Access denied"
    assert httpx.get(f"{sample_server.url}/q/d/l/?s=aapl.us&_fault=nonsense").status_code == 422


def test_a_fault_with_times_ends_by_itself(sample_server: "SampleServer") -> None:
    sample_server.set_faults("stooq", {"*": {"kind": "limit", "times": 1}})
    query = "s=aapl.us&i=d&d1=20180327"
    assert _stooq(sample_server, query) == b"Exceeded the daily hits limit"
    assert _stooq(sample_server, query).startswith(b"Date,")


@pytest.mark.parametrize("order", [{"stooq": {"*": "nonsense"}}, {"reuters": {"*": "limit"}}])
def test_an_unknown_fault_is_refused(sample_server: "SampleServer", order: dict[str, dict[str, str]]) -> None:
    assert httpx.post(f"{sample_server.url}/_faults", json=order).status_code == 422


def test_every_fault_kind_of_stooq_spoils_the_answer(sample_server: "SampleServer") -> None:
    sound = _stooq(sample_server, "s=msft.us&i=d")
    for kind in faults.KINDS["stooq"]:
        sample_server.set_faults("stooq", {"msft.us": kind})
        answer = httpx.get(f"{sample_server.url}/q/d/l/?s=msft.us&i=d")
        assert (answer.status_code, answer.content) != (200, sound), kind
    sample_server.clear_faults()
    assert _stooq(sample_server, "s=msft.us&i=d") == sound


def test_the_master_list_is_ascending_and_has_three_files_a_slot(sample_server: "SampleServer") -> None:
    lines = httpx.get(f"{sample_server.url}/gdeltv2/masterfilelist.txt", timeout=60).text.splitlines()
    assert len(lines) == 3 * (16 * 96 + 1)
    kinds = [re.fullmatch(r"\d+ [0-9a-f]{32} http://\S+/gdeltv2/(\d{14})\.(\S+)", line) for line in lines]
    assert [kind and kind[2] for kind in kinds[:3]] == ["export.CSV.zip", "mentions.CSV.zip", "gkg.csv.zip"]
    stamps = [kind[1] for kind in kinds if kind]
    assert stamps == sorted(stamps)


def test_listed_sizes_and_md5_are_those_of_the_served_files(sample_server: "SampleServer") -> None:
    text = httpx.get(f"{sample_server.url}/gdeltv2/lastupdate.txt").text
    assert len(text.splitlines()) == 3
    listed = httpx.get(f"{sample_server.url}/gdeltv2/masterfilelist.txt", timeout=60).text.splitlines()
    chosen = [line for line in listed if line.endswith(".gkg.csv.zip")]
    for line in (chosen[0], chosen[700], chosen[-1], text.splitlines()[2]):
        size, md5, url = line.split()
        body = httpx.get(url).raise_for_status().content
        assert (len(body), hashlib.md5(body).hexdigest()) == (int(size), md5)


def test_the_real_file_is_served_unchanged(sample_server: "SampleServer") -> None:
    body = httpx.get(f"{sample_server.url}/gdeltv2/20230702153000.gkg.csv.zip").content
    assert hashlib.md5(body).hexdigest() == "8be81a4633473180a781d8ec1de154a3"
    assert httpx.get(f"{sample_server.url}/gdeltv2/20230702154500.gkg.csv.zip").status_code == 404


def test_a_zip_is_the_same_when_it_is_made_again() -> None:
    label = archive.labels()[5]
    before = archive.slot_zip(label)
    archive.slot_zip.cache_clear()
    assert archive.slot_zip(label) == before
    with zipfile.ZipFile(io.BytesIO(before)) as slot:
        assert slot.infolist()[0].date_time == label.timetuple()[:6]
        assert slot.namelist() == [f"{archive.stamp(label)}.gkg.csv"]


def test_a_part_of_the_master_list_can_be_asked_for(sample_server: "SampleServer") -> None:
    url = f"{sample_server.url}/gdeltv2/masterfilelist.txt"
    whole = httpx.get(url, timeout=60).content
    part = httpx.get(url, headers={"range": "bytes=100-299"})
    assert (part.status_code, part.content) == (206, whole[100:300])
    assert httpx.get(url, headers={"range": f"bytes={len(whole)}-"}).status_code == 416


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/_faults"),
        ("POST", "/_faults"),
        ("DELETE", "/_faults"),
        ("GET", "/finnhub/_control"),
        ("POST", "/finnhub/_control"),
    ],
)
def test_a_server_that_knows_its_token_takes_no_orders_without_it(method: str, path: str) -> None:
    async def ask(headers: dict[str, str]) -> int:
        transport = httpx.ASGITransport(create_app("right"))
        async with httpx.AsyncClient(transport=transport, base_url="http://samples") as client:
            return (await client.request(method, path, headers=headers, json={} if method == "POST" else None)).status_code

    assert asyncio.run(ask({})) == asyncio.run(ask({TOKEN_HEADER: "wrong"})) == 401
    assert asyncio.run(ask({TOKEN_HEADER: "right"})) == 200


def test_a_table_without_sample_answers_is_refused_and_the_module_to_write_is_named() -> None:
    table = replace(GDELT_GKG, name="nothing")
    with pytest.raises(MissingSampleError, match=r"bronze\.nothing .* Write finlake_services/sample_sources/nothing\.py"):
        sample_paths(table, faults.Faults())
