"""An HTTP request read as a ClickHouse server reads it: who asks, for which statement, in which database, with which settings."""

import base64
import email.parser
import email.policy
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from finlake_services.clickhouse_local.compression import decode_body, decode_checked_blocks
from finlake_services.clickhouse_local.errors import ClickHouseError, access_denied
from finlake_services.clickhouse_local.formats import canonical, check_format
from finlake_services.clickhouse_local.settings import engine_settings
from finlake_services.clickhouse_local.statement_text import LONGEST_HEAD_BYTES, first_word
from finlake_services.clickhouse_local.users import User, authenticate

LONGEST_SESSION_S = 3600
MOST_FIELDS = 1000
"""Parameters in a URL, or parts of a form."""
MOST_PART_HEADER_BYTES = 1024
"""Also of a form's Content-Type; what takes MIME headers apart needs time with the square of what is in them."""
MOST_HEADER_PARAMETERS = 8
LONGEST_KILL_BYTES = 1024
_FORM = "multipart/form-data"
_QUERY_ID = re.compile(r"[A-Za-z0-9_.:\-]{1,128}")
_FORMAT = re.compile(r"[A-Za-z0-9_]{1,64}")
_WIDE_SPACE = re.compile(rb"\s*+(?:(?:\xef\xbb\xbf|\xc2\xa0|\xe2\x80[\x80-\x8b]|\xe3\x80\x80)\s*+)+")
"""Space beyond ASCII, among it the mark with which some editors begin a file; the engine's lexer passes over it as well."""
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

    @property
    def is_kill(self) -> bool:
        """Whether the text can be nothing but a KILL, or an error: any other statement has another first word."""
        return _is_kill(self.text)


def is_plain_kill(headers: Mapping[str, str], query: Mapping[str, str], body: bytes) -> bool:
    """Whether a request, as it came, is a short KILL or will be refused; one that is packed or a form is no such."""
    is_packed = (
        headers.get("content-encoding") or query.get("decompress") == "1" or headers.get("content-type", "").startswith(_FORM)
    )
    # A longer body is not even put together: rows of an INSERT would be copied within the event loop.
    return not is_packed and len(body) <= LONGEST_KILL_BYTES and _is_kill(_text(query, body))


def _is_kill(text: bytes) -> bool:
    return len(text) <= LONGEST_KILL_BYTES and first_word(text) == "KILL"


def _text(query: Mapping[str, str], body: bytes) -> bytes:
    sql = query.get("query", "").encode()
    text = sql + b"\n" + body if sql and body else sql or body
    space = _WIDE_SPACE.match(text, 0, LONGEST_HEAD_BYTES)
    return text[space.end() :] if space else text


def authenticated(users: Mapping[str, User], headers: Mapping[str, str], query: Mapping[str, str]) -> User:
    """The user by Basic login, X-ClickHouse-User/Key headers or URL parameters. Raises `ClickHouseError` (516)."""
    name = headers.get("x-clickhouse-user") or query.get("user") or "default"
    password = headers.get("x-clickhouse-key") or query.get("password") or ""
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            name, _, password = base64.b64decode(credentials, validate=True).decode().partition(":")
        except ValueError:
            name, password = "default", ""
    user = authenticate(users, name, password)
    if user is None:
        raise ClickHouseError(
            516,
            "AUTHENTICATION_FAILED",
            f"{name}: Authentication failed: password is incorrect, or there is no user with such name",
        )
    return user


def query_parameters(query_string: bytes) -> dict[str, str]:
    """Parameters of a URL. Raises `ClickHouseError` (36) for one that is not UTF-8, or for too many."""
    try:
        return dict(parse_qsl(query_string.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS))
    except UnicodeDecodeError as error:
        raise ClickHouseError(36, "BAD_ARGUMENTS", "URL parameters must be UTF-8") from error
    except ValueError as error:
        raise ClickHouseError(36, "BAD_ARGUMENTS", f"A request may have {MOST_FIELDS} parameters") from error


def read_request(
    user: User,
    method: str,
    headers: Mapping[str, str],
    query: Mapping[str, str],
    body: bytes,
) -> Request:
    """The statement that an authenticated request asks for. Raises `ClickHouseError` naming what cannot be used."""
    try:
        return _read_request(user, method, headers, query, body)
    except (ValueError, LookupError, RecursionError, OverflowError) as error:
        # Whatever else a client makes of a number, a text or a form: it is the request that is wrong.
        raise ClickHouseError(36, "BAD_ARGUMENTS", f"The request cannot be read ({type(error).__name__})") from error


def _read_request(
    user: User,
    method: str,
    headers: Mapping[str, str],
    query: Mapping[str, str],
    body: bytes,
) -> Request:
    limit = user.limits.body_bytes
    body = decode_body(body, headers.get("content-encoding", "").strip().lower(), limit)
    query = dict(query)
    if headers.get("content-type", "").startswith(_FORM):
        query |= _form_fields(headers["content-type"], body)
        body = b""
    if query.get("decompress") == "1":
        body = decode_checked_blocks(body, limit)
    text = _text(query, body)
    # A statement that does not begin by then is refused (statement_text.py); to look at more keeps everybody waiting.
    if not text[:LONGEST_HEAD_BYTES].strip():
        raise ClickHouseError(62, "SYNTAX_ERROR", "Syntax error: Empty query")
    return Request(
        user=user,
        query_id=_query_id(query),
        text=text,
        database=_database(user, headers, query),
        settings=engine_settings(user, query),
        parameters={name.removeprefix("param_"): value for name, value in query.items() if name.startswith("param_")},
        default_format=_default_format(user, headers, query),
        may_change=method == "POST",
        session_id=query.get("session_id") or None,
        session_timeout_s=min(_whole_number(query, "session_timeout", 60), LONGEST_SESSION_S),
        session_must_exist=query.get("session_check") == "1",
        protocol_revision=_whole_number(query, "client_protocol_version", 0),
    )


def _form_fields(content_type: str, body: bytes) -> dict[str, str]:
    """Fields of a form. Raises `ClickHouseError` for one with too many parts or too long heads (36), and for a file (48)."""
    _check_part_head(content_type.encode("latin-1"))
    boundary = _parameter(f"Content-Type: {content_type}".encode("latin-1"), "boundary")
    if not boundary:
        raise ClickHouseError(36, "BAD_ARGUMENTS", "multipart/form-data must name its boundary")
    delimiter = b"--" + boundary.encode()
    if body.count(delimiter) > MOST_FIELDS:
        raise ClickHouseError(36, "BAD_ARGUMENTS", f"A form may have {MOST_FIELDS} parts")
    fields = {}
    for part in body.split(delimiter)[1:]:
        head, _, payload = part.partition(b"\r\n\r\n")
        if head.startswith(b"--"):
            break
        _check_part_head(head)
        if _parameter(head, "filename", "content-disposition"):
            raise ClickHouseError(
                48,
                "NOT_IMPLEMENTED",
                "External tables in a request are not supported; write their rows as values((1, 'x'), (2, 'y')) in the statement",
            )
        if name := _parameter(head, "name", "content-disposition"):
            fields[name] = payload.removesuffix(b"\r\n").decode()
    return fields


def _check_part_head(head: bytes) -> None:
    if len(head) > MOST_PART_HEADER_BYTES or head.count(b";") > MOST_HEADER_PARAMETERS or b"=?" in head:
        raise ClickHouseError(
            36,
            "BAD_ARGUMENTS",
            f"A form and each of its parts may have headers of {MOST_PART_HEADER_BYTES} "
            f"bytes with {MOST_HEADER_PARAMETERS} parameters, and no encoded words",
        )


def _parameter(head: bytes, name: str, header: str = "content-type") -> str:
    """A parameter of a MIME header in `head`, "" when it has none."""
    found = (
        email.parser.BytesParser(policy=email.policy.HTTP)
        .parsebytes(head.lstrip(b"\r\n") + b"\r\n\r\n")
        .get_param(name, header=header)
    )
    return found if isinstance(found, str) else ""


def _query_id(query: Mapping[str, str]) -> str:
    query_id = query.get("query_id") or str(uuid.uuid4())
    if not _QUERY_ID.fullmatch(query_id):
        raise ClickHouseError(36, "BAD_ARGUMENTS", "query_id must be 1 to 128 letters, digits or . : _ -")
    return query_id


def _default_format(user: User, headers: Mapping[str, str], query: Mapping[str, str]) -> str:
    named = headers.get("x-clickhouse-format") or query.get("default_format") or "TabSeparated"
    return checked_format(user, named)


def checked_format(user: User, named: str) -> str:
    """A format as a client names it, which goes into a header of the answer.

    Raises `ClickHouseError` (73) for what is no name, or not allowed to the user.
    """
    if not _FORMAT.fullmatch(named):
        raise ClickHouseError(73, "UNKNOWN_FORMAT", f"Unknown format {named[:64]!r}")
    if user.rights != "admin":
        check_format(named)
    return canonical(named)


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
