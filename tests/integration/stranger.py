"""Another account of the machine at the doors of a stack: `python -m tests.integration.stranger`, a question on standard input.

The question is JSON: `user` (whose rights to take, None to keep one's own), `ports` by name, `spark_ports`, `postgres_roles`,
`files`. The answer is JSON: what each door said to a real client without credentials, and which files could be read.
"""

import json
import os
import pwd
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import grpc  # type: ignore[import-untyped]
import httpx
import psycopg
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from pyspark.sql.connect.proto import base_pb2, base_pb2_grpc

HOST = "127.0.0.1"
NOBODYS_PORT = 9
LARGE_BODY_MIB = 128
RPC_REQUEST, RPC_FAILURE = 3, 5


def main() -> None:
    question = json.load(sys.stdin)
    if question["user"] is not None:
        rehearse()
        become(question["user"])
    ports = question["ports"]
    answers = {
        "postgres": [postgres(ports["postgres"], role) for role in question["postgres_roles"]],
        "spark_connect": spark(ports["spark_connect"]),
        "spark_internal": [spark_internal(port) for port in question["spark_ports"]],
        "kafka": [kafka(ports["kafka"], login) for login in kafka_logins()],
        "kafka_controller": [kafka(ports["kafka_controller"], login) for login in kafka_logins()],
        "kafka_connect": [
            http(ports["kafka_connect"], *request, scheme) for request in CONNECT_REQUESTS for scheme in ("http", "https")
        ],
        "kafka_connect_body": connect_body(ports["kafka_connect"]),
        "dagster_webserver": [http(ports["dagster_webserver"], *request) for request in DAGSTER_REQUESTS],
        "sample_sources": [http(ports["sample_sources"], *request) for request in SAMPLE_SOURCES_REQUESTS],
        "clickhouse": [http(ports["clickhouse"], *request) for request in CLICKHOUSE_REQUESTS],
    }
    json.dump(
        {
            "answers": answers,
            "read": [file for file in question["files"] if can_read(file)],
            "uid": os.geteuid(),
            "tried": len(question["files"]),
        },
        sys.stdout,
    )


def rehearse() -> None:
    """Use each client once, at a port where nobody listens: a stranger may not read what Python loads at a first use."""
    http(NOBODYS_PORT, "POST", "/graphql")
    http(NOBODYS_PORT, "GET", "/", "https")
    postgres(NOBODYS_PORT, "nobody")
    spark(NOBODYS_PORT)
    kafka(NOBODYS_PORT, kafka_logins()[1])


def become(user: str) -> None:
    account = pwd.getpwnam(user)
    os.setgroups([])
    os.setresgid(account.pw_gid, account.pw_gid, account.pw_gid)
    os.setresuid(account.pw_uid, account.pw_uid, account.pw_uid)


def can_read(path: str) -> bool:
    try:
        if os.path.isdir(path):
            os.listdir(path)
        else:
            with open(path, "rb") as file:
                file.read(1)
    except PermissionError:
        return False
    except OSError:
        # Gone meanwhile, or a socket.
        return False
    return True


def postgres(port: int, role: str) -> str:
    try:
        with psycopg.connect(host=HOST, port=port, user=role, dbname="market", password="", connect_timeout=10):
            return "let in"
    except psycopg.OperationalError as refusal:
        return str(refusal)


SPARK_CALLS: dict[str, Any] = {
    "ExecutePlan": base_pb2.ExecutePlanRequest,
    "AnalyzePlan": base_pb2.AnalyzePlanRequest,
    "Config": base_pb2.ConfigRequest,
    "AddArtifacts": base_pb2.AddArtifactsRequest,
    "ArtifactStatus": base_pb2.ArtifactStatusesRequest,
    "Interrupt": base_pb2.InterruptRequest,
    "ReattachExecute": base_pb2.ReattachExecuteRequest,
    "ReleaseExecute": base_pb2.ReleaseExecuteRequest,
    "ReleaseSession": base_pb2.ReleaseSessionRequest,
    "FetchErrorDetails": base_pb2.FetchErrorDetailsRequest,
    "CloneSession": base_pb2.CloneSessionRequest,
}


def spark(port: int) -> dict[str, list[str]]:
    """By call what the server says to it without a token, and with a wrong one."""
    with grpc.insecure_channel(f"{HOST}:{port}") as channel:
        stub = base_pb2_grpc.SparkConnectServiceStub(channel)  # type: ignore[no-untyped-call]
        return {
            name: [
                _code(partial(_first, getattr(stub, name), name, request(), metadata))
                for metadata in ((), (("authorization", "Bearer wrong"),))
            ]
            for name, request in SPARK_CALLS.items()
        }


def _first(call: Callable[..., Any], name: str, request: Any, metadata: tuple[tuple[str, str], ...]) -> object:
    answer = call(iter([request]) if name == "AddArtifacts" else request, metadata=metadata, timeout=20)
    return next(answer) if isinstance(answer, Iterator) else answer


def _code(ask: Callable[[], object]) -> str:
    try:
        return f"answered {ask()!r}"
    except grpc.RpcError as refusal:
        return str(refusal.code().name)


def spark_internal(port: int) -> str:
    """What a port of the driver says to a message of no executor of its own."""
    body = b"nothing of yours"
    frame = struct.pack(">qbqi", 8 + 1 + 8 + 4 + len(body), RPC_REQUEST, 1, len(body)) + body
    with socket.create_connection((HOST, port), timeout=20) as connection:
        connection.sendall(frame)
        received = connection.recv(65_536)
    return f"failure: {received[21:].decode(errors='replace')}" if received[8:9] == bytes([RPC_FAILURE]) else repr(received)


def kafka_logins() -> list[dict[str, str]]:
    wrong = {"security.protocol": "SASL_PLAINTEXT", "sasl.password": "wrong"}
    return [
        {},
        {**wrong, "sasl.mechanism": "SCRAM-SHA-256", "sasl.username": "finlake"},
        {**wrong, "sasl.mechanism": "PLAIN", "sasl.username": "admin"},
    ]


def kafka(port: int, login: dict[str, str]) -> str:
    said: list[str] = []
    settings: dict[str, Any] = {
        "bootstrap.servers": f"{HOST}:{port}",
        "log_level": 0,
        "error_cb": lambda error: said.append(str(error)),
        **login,
    }
    client = AdminClient(settings)
    try:
        topics = client.list_topics(timeout=3).topics
    except KafkaException as refusal:
        client.poll(0)
        return f"refused: {refusal} {said[:3]}"
    return f"topics {sorted(topics)}"


BODIES: dict[str, object] = {"/graphql": {"query": "{ version }"}, "/connectors/finlake-ods/tasks": [{"task.class": "x"}]}
CONNECT_REQUESTS = (
    ("GET", "/"),
    ("GET", "/connectors"),
    ("GET", "/connectors/finlake-ods/config"),
    ("PUT", "/connectors/finlake-ods/pause"),
    ("GET", "/connector-plugins"),
    ("GET", "/admin/loggers"),
    ("PUT", "/connectors/finlake-ods/fence"),
    ("POST", "/connectors/finlake-ods/tasks"),
    ("GET", "/health"),
    ("OPTIONS", "/connectors"),
)
DAGSTER_REQUESTS = (
    ("GET", "/"),
    ("POST", "/graphql"),
    ("GET", "/server_info"),
    ("GET", "/logs/x/y/stdout"),
    ("GET", "/dagit/notebook"),
    ("OPTIONS", "/graphql"),
)
# Whoever may give them could have prices spoilt.
SAMPLE_SOURCES_REQUESTS = (
    ("GET", "/_faults"),
    ("POST", "/_faults"),
    ("DELETE", "/_faults"),
    ("GET", "/finnhub/_control"),
    ("POST", "/finnhub/_control"),
)
CLICKHOUSE_REQUESTS = (
    ("GET", "/?query=select%201"),
    ("POST", "/?query=select%201&user=reader"),
    ("POST", "/?query=select%201&user=admin&password="),
)


def http(port: int, method: str, path: str, scheme: str = "http") -> tuple[int, str]:
    body = {"json": BODIES[path]} if method == "POST" and path in BODIES else {}
    url = f"{scheme}://{HOST}:{port}{path}"
    try:
        answer = httpx.request(method, url, timeout=20, trust_env=False, verify=False, **body)  # type: ignore[arg-type]
    except httpx.TransportError as error:
        return 0, str(error)
    return answer.status_code, answer.text[:200]


def connect_body(port: int) -> list[int]:
    """How many MiB of a large body Kafka Connect takes, which it takes into memory, for each way to send it."""
    return [_taken_mib(f"{scheme}://{HOST}:{port}/connectors/finlake-ods/tasks") for scheme in ("http", "https")]


def _taken_mib(url: str) -> int:
    taken = 0

    def body() -> Iterator[bytes]:
        nonlocal taken
        while taken < LARGE_BODY_MIB:
            yield bytes(1 << 20)
            taken += 1

    with suppress(httpx.TransportError):
        httpx.post(url, content=body(), timeout=60, trust_env=False, verify=False)
    return taken


if __name__ == "__main__":
    main()
