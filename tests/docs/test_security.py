"""docs/security.md says the limits that the code has."""

from pathlib import Path

import pytest

from finlake_services import http_server
from finlake_services.clickhouse_local import (
    answers,
    bodies,
    compression,
    connections,
    execution,
    native_blocks,
    requests,
    server,
    sessions,
    statement_text,
    turns,
)
from finlake_services.clickhouse_local.users import limits_of

PAGE = (Path(__file__).resolve().parents[2] / "docs/security.md").read_text()
READER, WRITER = limits_of("reader", 3 << 30), limits_of("writer", 3 << 30)
LIMITS = {
    "URL and headers of a request": f"{http_server.MOST_HEADER_BYTES >> 10} KiB, {http_server.MOST_HEADERS} headers",
    "parameters in a URL, parts of a form": f"{requests.MOST_FIELDS}",
    "time until the headers have come": f"{http_server.HEADERS_TIMEOUT_S:.0f} s",
    "headers of a form and of each of its parts": (
        f"{requests.MOST_PART_HEADER_BYTES} bytes, {requests.MOST_HEADER_PARAMETERS} parameters"
    ),
    "time in which one without a login takes nothing of an answer": f"{answers.UNKNOWN_SEND_TIMEOUT_S} s",
    "heredocs in a statement": f"{statement_text.MOST_HEREDOCS}",
    "time in which a client takes nothing of its answer": f"{answers.SEND_TIMEOUT_S} s",
    "bytes of a user's answers that are not read yet": f"{turns.MOST_UNREAD_BYTES >> 20} MiB, "
    f"{turns.MOST_UNREAD_BYTES_OF_ALL >> 20} MiB of all users'; a single one may be longer",
    "length of a KILL that waits for KILLs alone, 1 at once for every two processors": f"{requests.LONGEST_KILL_BYTES} bytes",
    "long bodies of a user that are read at once": f"{turns.BODIES_AT_ONCE}",
    "time until the body has come": f"{bodies.BODY_TIMEOUT_S} s",
    "connections without a login": f"{http_server.MOST_UNKNOWN_CONNECTIONS}",
    "connections of a user": f"{connections.MOST_CONNECTIONS_OF_A_USER}",
    "wrong logins": f"{1 / server.REFUSED_LOGIN_S:.0f} a second for every two processors",
    "sessions of a user": f"{sessions.MOST_SESSIONS_OF_A_USER}",
    "sessions of a user that keep settings or temporary tables": f"{sessions.MOST_CONNECTIONS_OF_SESSIONS}",
    "types that the rows of an INSERT name": (
        f"{native_blocks.LONGEST_TYPE >> 10} KiB each, {native_blocks.MOST_TYPE_BYTES >> 20} MiB together"
    ),
    "a body, also when it is unpacked": f"{READER.body_bytes >> 20} MiB for a reader, {WRITER.body_bytes >> 20} MiB for others",
    "members of a packed body (zstd and lz4: frames)": f"{compression.MOST_MEMBERS:,}",
    "bodies of a user together": f"{turns.BODIES_PER_LIMIT} times that",
    "statements of a user that begin at once, and that last": "1 each for every two processors",
    "threads of a reader's statement": "1 for every four processors, 1 at least",
    "rows of a block of a reader's statement": f"{READER.block_rows:,}",
    "statements of a user that run": f"{READER.concurrent}",
    "the text of a statement": f"{execution.LONGEST_TEXT_BYTES >> 10} KiB",
    "what stands before the rows of an INSERT": f"{statement_text.LONGEST_HEAD_BYTES >> 10} KiB",
    "brackets within each other": f"{statement_text.DEEPEST_BRACKETS}",
    "elements of a statement": f"{statement_text.MOST_ELEMENTS:,}",
    "a reader's statement": f"{READER.execution_s} s, {READER.result_rows:,} rows and {READER.result_bytes >> 20} MiB of result",
    "a writer's statement": f"{WRITER.execution_s} s",
}


@pytest.mark.parametrize("limit", LIMITS)
def test_the_page_says_each_limit_as_the_code_has_it(limit: str) -> None:
    assert f"| {limit} | {LIMITS[limit]} |" in PAGE


def test_the_page_says_no_other_limit() -> None:
    table = PAGE.partition("### Limits")[2].partition("|---|---|---|\n")[2].partition("\n\n")[0]
    assert {line.split(" | ")[0].removeprefix("| ") for line in table.splitlines()} == set(LIMITS)


def test_the_page_says_what_the_http_server_of_all_services_bears() -> None:
    text = " ".join(PAGE.split())
    assert f"connection {http_server.HEADERS_TIMEOUT_S:.0f} s for the headers" in text
    assert f"{http_server.MOST_HEADER_BYTES >> 10} KiB and {http_server.MOST_HEADERS} headers" in text
    assert f"bears {http_server.MOST_UNKNOWN_CONNECTIONS} connections" in text
    assert f"has the same {http_server.MOST_HEADER_BYTES >> 10} KiB and {http_server.HEADERS_TIMEOUT_S:.0f} s" in text
    assert f"every byte of the body adds {http_server.PAID_BYTES} to it" in text
    assert f"that was refused {http_server.MOST_DISCARDED_BYTES >> 20} MiB are read on" in text
