"""Who may ask, and for what: users from a file, their passwords from files, their rights and limits."""

import hmac
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final, Literal

from finlake_clients.secret_files import SecretUnreadableError, secret_of

Rights = Literal["admin", "writer", "reader"]

PROCESSORS: Final = os.cpu_count() or 1

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


class UsersFileError(ValueError):
    """The users file, or a password file that it names, cannot be used."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one user's statements may take. 0 is no limit of its own (the server's memory cap holds for all)."""

    execution_s: int
    result_rows: int
    result_bytes: int
    memory_bytes: int
    body_bytes: int
    concurrent: int
    threads: int = 0
    block_rows: int = 0


def limits_of(rights: Rights, server_memory_bytes: int) -> Limits:
    """Limits by rights: readers cannot take the memory or the threads that inserts need."""
    if rights == "reader":
        return Limits(
            execution_s=30,
            result_rows=10_000_000,
            result_bytes=512 << 20,
            memory_bytes=server_memory_bytes // 3,
            body_bytes=4 << 20,
            concurrent=12,
            threads=max(1, PROCESSORS // 4),
            block_rows=16_384,
        )
    return Limits(
        execution_s=0 if rights == "admin" else 120,
        result_rows=0,
        result_bytes=0,
        memory_bytes=server_memory_bytes * 3 // 4,
        body_bytes=512 << 20,
        concurrent=12,
    )


@dataclass(frozen=True, kw_only=True)
class User:
    """One user; `password_sha256` is the digest of a generated password, never the password."""

    name: str
    rights: Rights
    databases: tuple[str, ...]
    limits: Limits
    password_sha256: bytes = field(repr=False)


def read_users(path: Path, server_memory_bytes: int) -> dict[str, User]:
    """Users of the JSON file `{name: {"password_file": path, "rights": "admin"|"writer"|"reader", "databases": [...]}}`.

    A relative password file is taken from the users file's folder. Raises `UsersFileError` naming file, user and reason.
    """
    try:
        entries = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UsersFileError(f"users file {path}: {error}; it must be JSON of users by name") from error
    if not isinstance(entries, dict) or not entries:
        raise UsersFileError(f"users file {path} holds no users; name at least one")
    return {name: _user(path, name, entry, server_memory_bytes) for name, entry in entries.items()}


def _user(path: Path, name: str, entry: object, server_memory_bytes: int) -> User:
    def refuse(reason: str) -> UsersFileError:
        return UsersFileError(f"users file {path}, user {name!r}: {reason}")

    if not _NAME.fullmatch(name):
        raise refuse("a name is letters, digits and underscores")
    if not isinstance(entry, dict):
        raise refuse("must be an object with password_file, rights and databases")
    rights, databases = entry.get("rights"), entry.get("databases", [])
    if rights not in ("admin", "writer", "reader"):
        raise refuse(f"rights must be admin, writer or reader, not {rights!r}")
    if not isinstance(databases, list) or not all(isinstance(item, str) and _NAME.fullmatch(item) for item in databases):
        raise refuse("databases must be a list of database names")
    if {item.lower() for item in databases} & {"system", "information_schema", "default"}:
        raise refuse("databases must not name system, information_schema or default")
    if not isinstance(entry.get("password_file"), str):
        raise refuse("password_file must be a path")
    password_file = path.parent / entry["password_file"]
    try:
        password = secret_of("clickhouse", password_file)
    except SecretUnreadableError as error:
        raise refuse(f"cannot read {password_file} ({error.reason}); generate the password first") from error
    return User(
        name=name,
        rights=rights,
        databases=tuple(databases),
        limits=limits_of(rights, server_memory_bytes),
        password_sha256=sha256(password.encode()).digest(),
    )


_NOBODY_SHA256 = bytes(32)


def authenticate(users: Mapping[str, User], name: str, password: str) -> User | None:
    """The user with this name and password, else None; takes the same time for an unknown name."""
    user = users.get(name)
    wanted = user.password_sha256 if user else _NOBODY_SHA256
    given = sha256(password.encode()).digest()
    return user if hmac.compare_digest(given, wanted) and user is not None else None
