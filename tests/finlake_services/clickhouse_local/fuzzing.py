"""Attack an endpoint: `python -m tests.finlake_services.clickhouse_local.fuzzing --seconds 900 --seed 1`.

It starts an endpoint of its own, plants secrets where no reader or writer may look (a file, a table, statements of others, the
passwords), and sends statements as they do. Each is drawn from a known one, its names and values are moved into parameters, its
spelling is changed, it is wrapped into others, and it is sent in one of the ways in which a request can come. The same text comes
again with other parameters, because a verdict must not outlive them.

What is found is a secret (or its size) in an answer, a file that was written, an error without ClickHouse's code, a request
that is not answered in time,
or an endpoint that has ended. Everything is drawn from the seed; exit code 1 when something is found.
"""

import argparse
import base64
import contextlib
import gzip
import json
import random
import string
import struct
import sys
import tempfile
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx
import lz4.block
import lz4.frame
import zstandard
from clickhouse_cityhash.cityhash import CityHash128

from tests.finlake_services.clickhouse_local.endpoint import Server
from tests.finlake_services.clickhouse_local.statements import ALL_WAYS, ALLOWED

WORKERS = 4
ANSWER_TIMEOUT_S = 60.0
USERS = ("reader", "sink", "other_reader")
FILE_BYTES, HIDDEN_ROWS = 73_939, 4_391
"""Sizes that no harmless answer holds: they tell that something was read whose contents are not shown."""
LONGEST_ANSWER = 8 << 20

_WORD = string.ascii_letters + string.digits + "_"


@dataclass
class Canaries:
    """Secrets and the places where they lie."""

    folder: Path
    token: str
    passwords: tuple[str, ...] = ()
    temporary: Path = Path()
    """Folder in which the engine's formats make files."""
    _needles: tuple[bytes, ...] = ()

    @property
    def file(self) -> Path:
        """A file that only its name protects."""
        return self.folder / "canary.txt"

    @property
    def never(self) -> Path:
        """Folder into which nothing may be written."""
        return self.folder / "never"

    def plant(self, server: Server) -> None:
        """Put them in their places."""
        self.never.mkdir()
        self.temporary = server.home / "tmp"
        self.passwords = tuple(server.passwords[user] for user in ("admin", "sink", "other_reader", "reader"))
        line = f"{self.token}\n"
        self.file.write_text(line + "x" * (FILE_BYTES - len(line)))
        with server.http("admin") as admin:
            for statement in (
                f"INSERT INTO hidden.salaries SELECT '{self.token}' || toString(number) FROM numbers({HIDDEN_ROWS - 1})",
                f"SELECT 'statement of the administrator {self.token}' FORMAT Null",
                "SYSTEM FLUSH LOGS",
            ):
                admin.post("/", content=statement).raise_for_status()
        spelled = [
            self.token,
            self.token.lower(),
            self.token.upper(),
            self.token[::-1],
            self.token.encode().hex(),
            self.token.encode().hex().upper(),
            *self.passwords,
        ]
        encoded = [base64.b64encode(b" " * shift + self.token.encode())[4:-4] for shift in range(3)]
        self._needles = (*(text.encode() for text in spelled), *encoded)

    def found_in(self, answer: bytes) -> str | None:
        """Which of them an answer gives away."""
        for needle in self._needles:
            if needle in answer:
                return "a secret"
        for number in (b"%d" % FILE_BYTES, b"%d" % HIDDEN_ROWS):
            start = answer.find(number)
            while start >= 0:
                around = answer[start - 1 : start] + answer[start + len(number) : start + len(number) + 1]
                if not any(sign in b"0123456789.-" for sign in around) and len(answer) < 4096:
                    return "the size of a secret"
                start = answer.find(number, start + 1)
        return None


@dataclass(frozen=True)
class Attempt:
    """One statement as one user sends it in one way."""

    user: str
    method: str
    params: Mapping[str, str]
    headers: Mapping[str, str]
    content: bytes
    text: str

    def __str__(self) -> str:
        return f"{self.user} {self.method} {dict(self.params)} {dict(self.headers)} {self.text!r}"


@dataclass
class Findings:
    """What was sent and what came back."""

    attempts: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    slowest_s: float = 0.0
    slowest: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, attempt: Attempt, outcome: str, fault: str | None, seconds: float) -> None:
        """Count an answer."""
        with self.lock:
            self.attempts += 1
            self.answers[outcome] += 1
            if seconds > self.slowest_s:
                self.slowest_s, self.slowest = seconds, str(attempt)[:300]
            if fault and len(self.faults) < 50:
                self.faults.append(f"{fault}: {attempt}"[:4000])

    def summary(self, seconds: float, seed: int) -> str:
        """The log's last line."""
        codes = ", ".join(f"{outcome} {count}" for outcome, count in self.answers.most_common(12))
        return (
            f"seed {seed}, {seconds:.0f} s: {self.attempts} attempts, {len(self.faults)} faults; slowest answer "
            f"{self.slowest_s:.1f} s; {len(self.answers)} kinds of answers, the most frequent: {codes}"
        )


class Attacker:
    """Draws attempts. The same seed draws the same ones."""

    def __init__(self, seed: str, canaries: Canaries, settings: Sequence[str]) -> None:
        self._random = random.Random(seed)
        self._settings = settings
        self._file = str(canaries.file)
        never = str(canaries.never / "written")
        self._known = [
            [statement.replace("/etc/passwd", self._file).replace("/tmp/finlake_never", never) for statement in kind]
            for kind in (_DEEPER, ALL_WAYS, ALLOWED)
        ]

    def attempts(self) -> Iterator[Attempt]:
        """One text after the other, each with all of its parameters' values."""
        draw = self._random
        while True:
            text = draw.choice(draw.choice(self._known))
            for _ in range(draw.choice((0, 0, 0, 0, 1, 2))):
                text = draw.choice(_WRAPPERS).replace("…", text)
            sets: list[dict[str, str]] = [{}]
            if draw.random() < 0.7:
                text, sets = self._parametrised(text)
            for _ in range(draw.choice((0, 0, 0, 1, 1, 2))):
                text = draw.choice((self._commented, self._cased, self._quoted, self._spaced, self._broken))(text)
            if draw.random() < 0.15:
                text += draw.choice(
                    (
                        " FORMAT JSON",
                        " FORMAT Native",
                        " FORMAT Protobuf",
                        " FORMAT CSVWithNames",
                        " FORMAT RawBLOB",
                        " FORMAT Arrow",
                        ";",
                        " FORMAT Values",
                        " SETTINGS max_threads = 1",
                        " LIMIT 3",
                        " -- x",
                        " /* x",
                        " INTO OUTFILE 'x'",
                    )
                )
            user = draw.choice(USERS)
            for parameters in sets:
                yield self._sent(user, text, parameters)

    def _parametrised(self, text: str) -> tuple[str, list[dict[str, str]]]:
        """Some names and values moved into parameters, and what these hold: harmless, then as in the text, then harmless."""
        draw = self._random
        harmful: dict[str, str] = {}
        harmless: dict[str, str] = {}
        tokens = list(_tokens(text))
        movable = [
            at
            for at, token in enumerate(tokens)
            if token[0] == "'"
            or (token[0] in _WORD + '`"' and not token.isupper() and (tokens[at + 1 : at + 2] != ["("] or draw.random() < 0.1))
        ]
        for at in draw.sample(movable, min(len(movable), draw.randrange(1, 4))):
            name, word = f"p{len(harmful)}", tokens[at].strip("`\"'")
            kinds = ("String", "String", "String", "Identifier", "Nullable(String)", "Array(String)")
            kind = draw.choice(kinds) if tokens[at][0] == "'" else "Identifier"
            tokens[at] = self._braces(name, kind)
            harmful[name], harmless[name] = word, draw.choice(_HARMLESS_NAMES)
        sets = [harmless, harmful, harmless] if draw.random() < 0.8 else [harmful]
        if draw.random() < 0.1:
            sets.append({name: "".join(draw.choices("[](){}'\"`\\\0,\u00e9 ;", k=draw.randrange(40))) for name in harmful})
        return "".join(tokens), sets

    def _braces(self, name: str, kind: str) -> str:
        def gap() -> str:
            return self._random.choice(_GAPS)

        return f"{{{gap()}{name}{gap()}:{gap()}{kind}{gap()}}}"

    def _commented(self, text: str) -> str:
        return "".join(token + (self._random.choice(_GAPS) if self._random.random() < 0.15 else "") for token in _tokens(text))

    def _cased(self, text: str) -> str:
        return "".join(
            self._random.choice((token,) * 9 + (token.upper(), token.lower(), token.swapcase())) for token in _tokens(text)
        )

    def _quoted(self, text: str) -> str:
        return "".join(self._quote(token) if self._random.random() < 0.15 else token for token in _tokens(text))

    def _quote(self, token: str) -> str:
        draw = self._random
        if token[0] == "'":
            inner = token[1:-1]
            return draw.choice(
                (
                    f"$${inner}$$",
                    f"$a${inner}$a$",
                    f"\u2018{inner}\u2019",
                    f"concat('{inner[:3]}', '{inner[3:]}')",
                    f"reverse('{inner[::-1]}')",
                    "'" + "".join(f"\\x{ord(sign):02x}" for sign in inner[:60]) + "'",
                )
            )
        if token[0] in string.ascii_letters:
            escaped = f"\\x{ord(token[0]):02x}{token[1:]}"
            return draw.choice(
                (f"`{token}`", f'"{token}"', f"\u201c{token}\u201d", f"`{escaped}`", f'"{escaped}"', f"{token}\u00a0")
            )
        return token

    def _spaced(self, text: str) -> str:
        return "".join(self._random.choice(_GAPS[:12]) if token.isspace() else token for token in _tokens(text))

    def _broken(self, text: str) -> str:
        """Some tokens gone, doubled or changed for others."""
        tokens = list(_tokens(text))
        for _ in range(self._random.randrange(1, 3)):
            at = self._random.randrange(len(tokens))
            tokens[at] = self._random.choice(("", tokens[at] * 2, self._random.choice(tokens), self._random.choice(_PIECES)))
        return "".join(tokens) or " "

    def _sent(self, user: str, text: str, parameters: Mapping[str, str]) -> Attempt:
        draw = self._random
        params = {f"param_{name}": value for name, value in parameters.items()}
        headers: dict[str, str] = {}
        for _ in range(draw.choice((0, 0, 0, 0, 1, 2))):
            name, value = draw.choice(_PROTOCOL)
            params[name] = value
        if draw.random() < 0.15:
            params[draw.choice(self._settings)] = draw.choice(_VALUES)
        content = text.encode(errors="replace")
        way = draw.random()
        if way < 0.1:
            params["query"], content = text, b""
        elif way < 0.2:
            cut = draw.randrange(len(text) + 1)
            params["query"], content = text[:cut], text[cut:].encode(errors="replace")
        elif way < 0.25:
            fields = {"query": text, **params}
            params = {}
            content = (
                b"".join(
                    b'--b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'
                    % (name.encode(errors="replace"), value.encode(errors="replace"))
                    for name, value in fields.items()
                )
                + b"--b--\r\n"
            )
            headers["Content-Type"] = "multipart/form-data; boundary=b"
        if draw.random() < 0.12:
            encoding = draw.choice(tuple(_ENCODERS))
            content = _ENCODERS[encoding](content)
            headers["Content-Encoding"] = encoding
        elif draw.random() < 0.05:
            params["decompress"], content = "1", _checked(content)
        if draw.random() < 0.03:
            content = bytes(draw.choice((byte, draw.randrange(256))) if draw.random() < 0.1 else byte for byte in content)
        method = draw.choice(("POST",) * 9 + ("GET",))
        return Attempt(user, method, params, headers, content, text)


_DEEPER = (
    "SELECT unhex('010100104669786564537472696e67282d323029') AS `x\n Identifier Native (alias z` FORMAT RawBLOB",
    "SELECT 1 AS `x\n Identifier JSON\rX-Evil: 1`, 2 FORMAT TSV",
    "SELECT $a0$ $a1$ $a2$ $a3$",
    "SELECT arrayMap(upper, ['/etc/passwd'])",
    "SELECT arrayMap(file, ['/etc/passwd'])",
    "SELECT * FROM system.processes",
    "SELECT count() FROM speed.ticks",
    "SELECT count() FROM hidden.salaries",
    "SELECT length(file('/etc/passwd'))",
    "SELECT arrayFilter(x -> length(file(x)) > 0, ['/etc/passwd'])",
    "WITH x -> file(x) AS upper SELECT upper('/etc/passwd')",
    "SELECT query FROM system.query_log",
    "SELECT * FROM system.query_log WHERE query LIKE '%statement%'",
    "SELECT * FROM merge(REGEXP('.*'), '.*')",
    "SELECT name FROM hidden.salaries ORDER BY name LIMIT 1",
    "SELECT (SELECT any(name) FROM hidden.salaries)",
    "SELECT * FROM speed.ticks AS t, hidden.salaries AS s LIMIT 1",
    "SELECT dictGetOrDefault('hidden.salaries', 'name', 1, 'x')",
    "SELECT joinGet('hidden.salaries', 'name', 'x')",
    "SELECT hasColumnInTable('hidden', 'salaries', 'name')",
    "SELECT * FROM mergeTreeIndex('hidden', 'salaries')",
    "SELECT total_rows FROM system.tables WHERE database = 'hidden'",
    "SELECT rows FROM system.parts WHERE database = 'hidden'",
    "SELECT sum(rows) FROM system.parts",
    "SELECT sum(total_rows) FROM system.tables",
    "SELECT * FROM system.parts_columns",
    "SELECT * FROM system.view_refreshes",
    "SELECT * FROM system.events",
    "SELECT * FROM system.metrics",
    "EXPLAIN CURRENT TRANSACTION",
    "SELECT * FROM information_schema.tables",
    "SELECT * FROM information_schema.views",
    "SHOW CREATE TABLE serving.symbols",
    "EXPLAIN ESTIMATE SELECT * FROM hidden.salaries",
    "EXPLAIN TABLE OVERRIDE mysql('a', 'b', 'c', 'd', 'e')",
    "EXPLAIN QUERY TREE SELECT file('/etc/passwd')",
    "EXPLAIN PIPELINE SELECT * FROM file('/etc/passwd', 'LineAsString')",
    "SELECT * FROM format('LineAsString', 'x')",
    "SELECT * FROM input('x String')",
    "SELECT * FROM generateRandom('a Int8') LIMIT 1",
    "SELECT * FROM fuzzJSON('x', 1)",
    "SELECT * FROM viewExplain('', '', (SELECT 1))",
    "SELECT getServerSetting('users_config')",
    "SELECT * FROM viewIfPermitted(SELECT name FROM hidden.salaries ELSE null('name String'))",
    "SELECT currentRoles()",
    "SELECT * FROM loop('hidden', 'salaries') LIMIT 1",
    "SELECT * FROM primes(3)",
    "SHOW PROCESSLIST",
    "SHOW SETTING max_threads",
    "INSERT INTO speed.ticks (symbol) SELECT name FROM hidden.salaries",
    "INSERT INTO speed.ticks SELECT file('/etc/passwd'), now(), 1",
    "INSERT INTO speed.ticks FORMAT CSV\n'A',2026-01-05 14:30:00,1\n",
    "INSERT INTO speed.ticks (symbol) VALUES (file('/etc/passwd'))",
    "INSERT INTO TABLE FUNCTION file('/tmp/finlake_never', 'CSV', 'x String') SELECT 'x'",
    "SELECT 1 INTO OUTFILE '/tmp/finlake_never'",
    "KILL QUERY WHERE query_id = 'x'",
    "KILL QUERY WHERE user = 'admin'",
    "USE system",
    "USE hidden",
    "SELECT * FROM salaries",
    "SELECT * FROM processes",
    "SELECT formatQuery('SELECT 1')",
    "SELECT * FROM executable('cat', 'LineAsString', 's String')",
    "SELECT 1 BETWEEN 1 AND 2 BETWEEN 1 AND 2 BETWEEN 1 AND 2",
    "SELECT COLUMNS('a') APPLY COLUMNS('b') APPLY file",
    "SELECT evalMLMethod(1, 2)",
    "SELECT catboostEvaluate('/etc/passwd', 1)",
    "SELECT getClientHTTPHeader('authorization')",
    "SELECT queryString(1)",
    "SELECT initialQueryID(), queryID()",
    "SELECT tokenizeQuery('SELECT 1')",
    "SELECT showCertificate()",
    "SELECT symbol FROM speed.ticks WHERE symbol IN (SELECT name FROM hidden.salaries)",
    "SELECT * EXCEPT a APPLY file",
)
_WRAPPERS = (
    "EXPLAIN …",
    "EXPLAIN AST …",
    "EXPLAIN SYNTAX …",
    "EXPLAIN PLAN actions = 1, header = 1 …",
    "EXPLAIN QUERY TREE …",
    "EXPLAIN PIPELINE …",
    "EXPLAIN ESTIMATE …",
    "SELECT * FROM (…)",
    "SELECT (…)",
    "WITH (…) AS a SELECT a",
    "WITH a AS (…) SELECT * FROM a",
    "SELECT 1 WHERE 1 IN (…)",
    "SELECT EXISTS (…)",
    "SELECT * FROM view(…)",
    "DESCRIBE (…)",
    "… UNION ALL …",
    "(…)",
    "…;…",
    "… FORMAT JSON",
    "… FORMAT Protobuf",
    "… FORMAT/**/dataframe",
    "SELECT * FROM (…) AS a JOIN (…) AS b ON 1 = 1",
    "INSERT INTO speed.ticks (symbol) …",
    "SELECT * FROM (EXPLAIN …)",
    "FROM (…) SELECT *",
    "SELECT * FROM numbers(2) WHERE number > (…)",
    "SELECT arrayMap(x -> (…), [1])",
    "/* … */ SELECT 1",
    "SELECT '…'",
    "… -- …",
    "SELECT * FROM viewExplain('EXPLAIN', '', (…))",
    "WITH RECURSIVE a AS (… UNION ALL SELECT * FROM a) SELECT * FROM a LIMIT 2",
    "CREATE VIEW speed.v AS …",
    "CREATE TEMPORARY TABLE t AS …",
    "PREPARE …",
    "EXECUTE AS admin …",
    "… PARALLEL WITH …",
)
_GAPS = (
    "",
    " ",
    "\n",
    "\t",
    " \r\n",
    "\u00a0",
    "\u3000",
    "/**/",
    "/* : */",
    "-- x\n",
    "# x\n",
    "#! x\n",
    "/* } */",
    "/*'*/",
    '/*"*/',
    "\f",
)
_PIECES = (
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "'",
    '"',
    "`",
    ",",
    ";",
    ".",
    "::",
    "->",
    "file",
    "system",
    "hidden",
    "*",
    "APPLY",
    "FORMAT",
    "SETTINGS",
    "INTO",
    "OUTFILE",
    "SELECT",
    "FROM",
    "NULL",
    "1e400",
    "0x",
    "{p0:Identifier}",
    "{p0:String}",
    "\0",
    "\u00e9",
    "$$",
    "--",
    "/*",
    "*/",
    "INTERVAL",
    "BETWEEN",
    "AS",
    "file(",
    "IN",
    "@@version",
    "?",
    ":",
    "$",
    "\\",
)
_HARMLESS_NAMES = ("upper", "speed", "ticks", "symbol", "one", "numbers", "x", "length", "default", "toString")
_PROTOCOL = (
    ("database", "speed"),
    ("database", "system"),
    ("database", "hidden"),
    ("database", "/etc"),
    ("session_id", "a"),
    ("session_id", "b"),
    ("session_timeout", "9" * 30),
    ("session_timeout", "-1"),
    ("session_check", "1"),
    ("default_format", "JSON"),
    ("role", "user_admin"),
    ("default_format", "Template"),
    ("default_format", "protobuf"),
    ("default_format", "DataFrame"),
    ("default_format", "RawBLOB"),
    ("default_format", "Native"),
    ("client_protocol_version", "54465"),
    ("client_protocol_version", "9" * 5000),
    ("compress", "1"),
    ("enable_http_compression", "1"),
    ("query_id", "x"),
    ("query_id", "'"),
    ("wait_end_of_query", "1"),
    ("user", "admin"),
    ("quota_key", "x"),
    ("stacktrace", "1"),
    ("readonly", "0"),
    ("param_p0", "file"),
    ("param_", "x"),
    ("", ""),
    ("framing", "x"),
    ("http_response_headers", "{'a':'b'}"),
    ("buffer_size", "9" * 30),
    ("profile", "default"),
    ("max_result_rows", "0"),
    ("max_execution_time", "1e400"),
    ("max_execution_time", "0.0000001"),
    ("max_memory_usage", "0.5"),
    ("limit", "-1"),
    ("offset", "1"),
    ("extremes", "1"),
    ("log_comment", "\0"),
    ("send_logs_level", "trace"),
    ("format_schema", "/etc/passwd"),
    ("session_timezone", "/etc/passwd"),
    ("session_timezone", "UTC"),
)
_VALUES = (
    "0",
    "1",
    "2",
    "-1",
    "",
    "x",
    "/etc/passwd",
    "9" * 40,
    "nan",
    "1e400",
    "'",
    "\\",
    "1, readonly = 0",
    "auto",
    "[]",
    "{}",
    "\0",
    "\u00e9",
)


def _checked(raw: bytes) -> bytes:
    packed = lz4.block.compress(raw, store_size=False)
    block = struct.pack("<BII", 0x82, len(packed) + 9, len(raw)) + packed
    digest = CityHash128(block)
    return bytes(struct.pack("<QQ", digest >> 64, digest & (1 << 64) - 1) + block)


_ENCODERS: Mapping[str, Callable[[bytes], bytes]] = {
    "gzip": partial(gzip.compress, mtime=0),
    "deflate": zlib.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "lz4": lz4.frame.compress,
    "br": lambda raw: raw,
    "identity": lambda raw: raw,
}


def _tokens(text: str) -> Iterator[str]:
    """Words, quoted texts, single signs and spaces of a text; together they are the text."""
    at = 0
    while at < len(text):
        sign, end = text[at], at + 1
        if sign in _WORD:
            while end < len(text) and text[end] in _WORD:
                end += 1
        elif sign in "'`\"":
            while end < len(text) and text[end] != sign:
                end += 2 if text[end] == "\\" else 1
            end = min(end + 1, len(text))
        yield text[at:end]
        at = end


def ask(client: httpx.Client, canaries: Canaries, attempt: Attempt, findings: Findings) -> None:
    """Send an attempt and judge what comes back."""
    began = time.monotonic()
    outcome, fault = "cut", None
    received = bytearray()
    try:
        with client.stream(
            attempt.method, "/", params=attempt.params, headers=attempt.headers, content=attempt.content, timeout=ANSWER_TIMEOUT_S
        ) as answer:
            code = answer.headers.get("x-clickhouse-exception-code")
            outcome = f"code {code}" if code else f"status {answer.status_code}"
            if answer.status_code >= 400 and code is None:
                fault = f"status {answer.status_code} without a code"
            with contextlib.suppress(httpx.RemoteProtocolError, httpx.DecodingError):
                for part in answer.iter_raw():
                    received += part
                    if len(received) > LONGEST_ANSWER:
                        break
            encoding = answer.headers.get("content-encoding", "")
        if attempt.params.get("compress") == "1":
            received = bytearray(_unchecked(bytes(received)))
        text = _decoded(bytes(received), encoding)
        if b"Traceback" in text:
            fault = "a traceback"
        fault = canaries.found_in(text) or fault
    except httpx.TimeoutException:
        outcome, fault = "timeout", f"no answer within {ANSWER_TIMEOUT_S:.0f} s"
    except httpx.TransportError as error:
        outcome = fault = f"no answer: {type(error).__name__}"
    if not fault and any((*canaries.never.iterdir(), *canaries.temporary.iterdir())):
        fault = "a file was written"
    findings.note(attempt, outcome, fault, time.monotonic() - began)


def _decoded(raw: bytes, encoding: str) -> bytes:
    with contextlib.suppress(Exception):
        if encoding == "gzip":
            return gzip.decompress(raw)
        if encoding == "deflate":
            return zlib.decompress(raw)
        if encoding == "zstd":
            return bytes(zstandard.ZstdDecompressor().stream_reader(raw).read())
        if encoding == "lz4":
            return bytes(lz4.frame.decompress(raw))
    return raw


def _unchecked(raw: bytes) -> bytes:
    parts, at = [raw], 0
    with contextlib.suppress(struct.error, lz4.block.LZ4BlockError):
        while at < len(raw):
            _, packed, size = struct.unpack_from("<BII", raw, at + 16)
            parts.append(lz4.block.decompress(raw[at + 25 : at + 16 + packed], uncompressed_size=min(size, LONGEST_ANSWER)))
            at += 16 + packed
    return b"".join(parts)


def _check_that_secrets_would_be_seen(server: Server, canaries: Canaries) -> None:
    with server.http("admin") as admin:
        for statement in (
            f"SELECT file('{canaries.file}')",
            f"SELECT length(file('{canaries.file}'))",
            "SELECT * FROM hidden.salaries LIMIT 2",
            "SELECT count() FROM hidden.salaries",
            "SELECT query FROM system.query_log",
            "SELECT query FROM system.processes",
            f"SELECT hex(file('{canaries.file}'))",
            f"SELECT base64Encode(file('{canaries.file}'))",
        ):
            answer = admin.post("/", content=f"{statement} /* {canaries.token if 'processes' in statement else ''} */")
            assert canaries.found_in(answer.content), f"the secret would not be seen: {statement}: {answer.text[:300]}"


def _keep_a_statement_running(server: Server, canaries: Canaries, over: threading.Event) -> None:
    """Other users' statements with the secret, of which there is always one that runs."""
    with server.http("admin") as admin:
        while not over.is_set():
            with contextlib.suppress(httpx.HTTPError):
                admin.post("/", content=f"SELECT sleep(1) /* {canaries.token} */")


def attack(server: Server, folder: Path, seconds: float, seed: int) -> Findings:
    """Attack a running endpoint for `seconds`; `folder` is for the secrets."""
    canaries = Canaries(folder, f"Canary{random.Random(seed).randbytes(12).hex()}")
    canaries.plant(server)
    _check_that_secrets_would_be_seen(server, canaries)
    with server.http("admin") as admin:
        settings = sorted(admin.post("/", content="SELECT name FROM system.settings").text.split())
    findings = Findings()
    over = threading.Event()
    end = time.monotonic() + seconds

    def work(number: int) -> None:
        with contextlib.ExitStack() as stack:
            clients = {user: stack.enter_context(server.http(user)) for user in USERS}
            for attempt in Attacker(f"{seed}-{number}", canaries, settings).attempts():
                if time.monotonic() > end or server.process is None or server.process.poll() is not None:
                    return
                ask(clients[attempt.user], canaries, attempt, findings)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(WORKERS)]
    background = threading.Thread(target=_keep_a_statement_running, args=(server, canaries, over))
    for thread in (*threads, background):
        thread.start()
    for thread in threads:
        thread.join()
    over.set()
    background.join()
    _check_the_end(server, canaries, findings)
    return findings


def _check_the_end(server: Server, canaries: Canaries, findings: Findings) -> None:
    assert server.process is not None
    if server.process.poll() is not None:
        findings.faults.append(f"the endpoint ended with {server.process.returncode}: {server.log()[-2000:]}")
        return
    with server.http("admin") as admin:
        if admin.post("/", content="SELECT count() FROM hidden.salaries").text != f"{HIDDEN_ROWS}\n":
            findings.faults.append("the hidden table was changed")
        kept = admin.post("/", content=f"SELECT count() FROM speed.ticks WHERE symbol LIKE '%{canaries.token}%'").text
        if kept != "0\n":
            findings.faults.append("a secret was written where others may read it")
        errors = admin.post("/", content="SELECT 1").text
    if errors != "1\n":
        findings.faults.append("the endpoint does not answer its administrator")
    own = [line for line in server.log().splitlines() if "clickhouse endpoint met an error" in line or "Traceback" in line]
    findings.faults.extend(f"an error of the endpoint itself: {line}"[:2000] for line in own[:10])


def main(arguments: Sequence[str] | None = None) -> int:
    """Attack an endpoint of its own; 1 when something was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=900)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="finlake-fuzzing-") as folder:
        server = Server(Path(folder) / "endpoint")
        server.write_users()
        server.start()
        try:
            server.make_tables()
            findings = attack(server, Path(folder), options.seconds, options.seed)
        finally:
            if server.process is not None and server.process.poll() is None:
                server.end()
    for fault in findings.faults:
        print(json.dumps({"fault": fault}))
    print(findings.summary(options.seconds, options.seed))
    print(f"slowest: {findings.slowest}")
    return int(bool(findings.faults))


if __name__ == "__main__":
    sys.exit(main())
