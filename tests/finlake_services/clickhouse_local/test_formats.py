"""Formats that a reader or writer may name make and read no file, however they are named."""

import httpx
import pytest

from finlake_services.clickhouse_local import formats
from finlake_services.clickhouse_local.errors import ClickHouseError
from finlake_services.clickhouse_local.statement_text import named_formats
from tests.finlake_services.clickhouse_local.endpoint import Server
from tests.finlake_services.clickhouse_local.statements import NAMES_A_FORMAT_WITH_FILES

REFUSED = (
    "Protobuf",
    "protobufSINGLE",
    "ProtobufList",
    "CapnProto",
    "Template",
    "TemplateIgnoreSpaces",
    "AvroConfluent",
    "Regexp",
    "MySQLWire",
    "DataFrame",
    "nonsense",
    "Native ",
    "\u212aative",
    "",
)


@pytest.mark.parametrize("named", REFUSED)
def test_a_format_that_is_not_on_the_list_is_refused(named: str) -> None:
    with pytest.raises(ClickHouseError, match="UNKNOWN_FORMAT"):
        formats.check_format(named)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT 1 FORMAT JSON", ["JSON"]),
        ("DESCRIBE t format/*x*/`a`", ["a"]),
        ("SELECT 'FORMAT a', format, `FORMAT` b", []),
        ("SELECT format AS x, 1 -- FORMAT a\n FORMAT -- b\n CSV", ["AS", "CSV"]),
        ("SELECT format('{}', 1)", []),
    ],
)
def test_a_format_in_a_text_is_found(text: str, expected: list[str]) -> None:
    assert list(named_formats(text)) == expected


@pytest.mark.slow
@pytest.mark.parametrize("user", ["reader", "sink"])
@pytest.mark.parametrize("named", [name for name in REFUSED if name.strip() == name and name.isascii() and name])
def test_a_default_format_that_is_not_on_the_list_is_refused(clients: dict[str, httpx.Client], user: str, named: str) -> None:
    for asked in ("SELECT 1 AS a", "SHOW PROCESSLIST", "DESCRIBE TABLE speed.ticks", "KILL QUERY WHERE query_id = 'x'"):
        by_url = clients[user].post("/", content=asked, params={"default_format": named})
        by_header = clients[user].post("/", content=asked, headers={"X-ClickHouse-Format": named})
        by_form = clients[user].post("/", files={"query": (None, asked), "default_format": (None, named)})
        for answer in (by_url, by_header, by_form):
            assert answer.headers["x-clickhouse-exception-code"] == "73", answer.text


@pytest.mark.slow
def test_no_format_that_may_be_named_makes_a_file(
    server: Server,
    admin: httpx.Client,
    clients: dict[str, httpx.Client],
) -> None:
    folder = server.home / "tmp"
    assert folder.stat().st_mode & 0o777 == 0o700
    before = sorted(folder.iterdir())
    known = admin.post("/", content="SELECT name FROM system.formats").text.split()
    written = admin.post("/", content="SELECT name FROM system.formats WHERE is_output").text.split()
    spelled = {formats.canonical(name) for name in known if formats.is_allowed(name)}
    assert spelled <= set(known)
    assert len(spelled) > 80
    for user in ("reader", "sink"):
        for name in sorted(spelled.intersection(written)):
            answer = clients[user].post("/", content=f"SELECT 1::UInt64 AS value, 'x' AS name FORMAT {name}")
            assert answer.status_code == 200 or name in ("Npy", "Prometheus", "RawBLOB"), answer.text
    for statement in NAMES_A_FORMAT_WITH_FILES:
        for user in ("reader", "sink"):
            assert clients[user].post("/", content=statement).status_code != 200
    assert sorted(folder.iterdir()) == before


@pytest.mark.slow
def test_what_an_administrators_format_writes_lies_in_the_endpoints_own_folder(server: Server, admin: httpx.Client) -> None:
    folder = server.home / "tmp"
    before = set(folder.glob("*.proto"))
    # A field's name that the format refuses; else the file is taken away again.
    assert admin.post("/", content="SELECT 1 AS `1` FORMAT Protobuf").status_code == 400
    assert set(folder.glob("*.proto")) - before
