"""An HTTP request read as a ClickHouse server reads it: who asks, for which statement, in which database, with which settings."""

import base64
import binascii
import email.parser
import email.policy
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from finlake_services.clickhouse_local.compression import decode_body, decode_checked_blocks
from finlake_services.clickhouse_local.errors import ClickHouseError, access_denied
from finlake_services.clickhouse_local.settings import engine_settings
from finlake_services.clickhouse_local.users import User, authenticate

LONGEST_SESSION_S = 3600
_QUERY_ID = re.compile(r"[A-Za-z0-9_.:\-]{1,128}")
_FORMAT = re.compile(r"[A-Za-z0-9_]{1,64}")
_WHOLE_NUMBER = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, kw_only=True)
class Request:
    """One statement to run."""

    user: User
    query_id: str
    text: bytes
    database: str
    settings: Mapping[str, str]
    parameters: Mapping[str, str]
    default_format: str
    may_change: bool
    session_id: str | None
    session_timeout_s: int
    session_must_exist: bool
    protocol_revision: int


def authenticated(users: Mapping[str, User], headers: Mapping[str, str], query: Mapping[str, str]) -> User:
    """The user by Basic login, X-ClickHouse-User/Key headers or URL parameters. Raises `ClickHouseError` (516)."""
    name = headers.get("x-clickhouse-user") or query.get("user") or "default"
    password = headers.get("x-clickhouse-key") or query.get("password") or ""
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            name, _, password = base64.b64decode(credentials, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            name, password = "default", ""
    user = authenticate(users, name, password)
    if user is None:
        raise ClickHouseError(516, "AUTHENTICATION_FAILED",
                              f"{name}: Authentication failed: password is incorrect, or there is no user with such name")
    return user


def query_parameters(query_string: bytes) -> dict[str, str]:
    """Parameters of a URL. Raises `ClickHouseError` (36) for one that is not UTF-8."""
    try:
        return dict(parse_qsl(query_string.decode("ascii"), keep_blank_values=True, errors="strict"))
    except UnicodeDecodeError as error:
        raise ClickHouseError(36, "BAD_ARGUMENTS", "URL parameters must be UTF-8") from error


def read_request(
    user: User, method: str, headers: Mapping[str, str], query: Mapping[str, str], body: bytes,
) -> Request:
    """The statement that an authenticated request asks for. Raises `ClickHouseError` naming what cannot be used."""
    limit = user.limits.body_bytes
    body = decode_body(body, headers.get("content-encoding", "").strip().lower(), limit)
    query = dict(query)
    if headers.get("content-type", "").startswith("multipart/form-data"):
        query |= _form_fields(headers["content-type"], body)
        body = b""
    if query.get("decompress") == "1":
        body = decode_checked_blocks(body, limit)
    sql = query.get("query", "").encode()
    text = sql + b"\n" + body if sql and body else sql or body
    if not text.strip():
        raise ClickHouseError(62, "SYNTAX_ERROR", "Syntax error: Empty query")
    return Request(
        user=user, query_id=_query_id(query), text=text, database=_database(user, headers, query),
        settings=engine_settings(user, query),
        parameters={name.removeprefix("param_"): value for name, value in query.items() if name.startswith("param_")},
        default_format=_default_format(headers, query),
        may_change=method == "POST",
        session_id=query.get("session_id") or None,
        session_timeout_s=min(_whole_number(query, "session_timeout", 60), LONGEST_SESSION_S),
        session_must_exist=query.get("session_check") == "1",
        protocol_revision=_whole_number(query, "client_protocol_version", 0),
    )


def _form_fields(content_type: str, body: bytes) -> dict[str, str]:
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(
        b"Content-Type: " + content_type.encode("latin-1") + b"\r\n\r\n" + body)
    fields = {}
    for part in message.iter_parts():
        if part.get_filename():
            raise ClickHouseError(48, "NOT_IMPLEMENTED", "External tables in a request are not supported")
        name, payload = part.get_param("name", header="content-disposition"), part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(payload, bytes):
            fields[name] = payload.decode()
    return fields


def _query_id(query: Mapping[str, str]) -> str:
    query_id = query.get("query_id") or str(uuid.uuid4())
    if not _QUERY_ID.fullmatch(query_id):
        raise ClickHouseError(36, "BAD_ARGUMENTS", "query_id must be 1 to 128 letters, digits or . : _ -")
    return query_id


def _default_format(headers: Mapping[str, str], query: Mapping[str, str]) -> str:
    named = headers.get("x-clickhouse-format") or query.get("default_format") or "TabSeparated"
    # It goes into a header of the answer.
    if not _FORMAT.fullmatch(named):
        raise ClickHouseError(73, "UNKNOWN_FORMAT", f"Unknown format {named!r}")
    return named


def _database(user: User, headers: Mapping[str, str], query: Mapping[str, str]) -> str:
    database = query.get("database") or headers.get("x-clickhouse-database") or ""
    if database:
        check_database(user, database)
    return database


def check_database(user: User, database: str) -> None:
    """Raise `ClickHouseError` (497) unless the user may have `database` as current one.

    Never `system` for a reader or writer: in it, a table's name does not tell that it is a system table.
    """
    if user.rights != "admin" and database not in ("default", *user.databases):
        raise access_denied(user.name, f"USE {database}")


def _whole_number(query: Mapping[str, str], name: str, default: int) -> int:
    value = query.get(name) or str(default)
    if not _WHOLE_NUMBER.fullmatch(value):
        raise ClickHouseError(36, "BAD_ARGUMENTS", f"{name} must be a whole number of at most 9 digits, not {value[:20]!r}")
    return int(value)
