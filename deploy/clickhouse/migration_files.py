"""Migration files: `NNNN_name.sql`, statements that each begin with a comment naming the object and its kind.

A statement's template has the placeholders of spark/contracts/clickhouse.py, so one file serves a laptop and a cluster. It
repeats what the contracts said when it was drafted: a file that was applied never changes, whatever the contracts say later.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from finlake_settings.checkout import CHECKOUT
from spark.contracts.clickhouse import Kind, Statement

FOLDER = CHECKOUT / "deploy" / "clickhouse" / "migrations"

_FILE_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
_STATEMENT = re.compile(r"-- (?P<name>\S+) \((?P<kind>[a-z ]+)\)\n(?P<template>.+?);\n", re.DOTALL)


class MigrationError(Exception):
    """Migrations cannot be read or applied; the message names the file, the reason and the next step."""


@dataclass(frozen=True, kw_only=True)
class Migration:
    """One migration file: its number, its file name, the SHA-256 of its bytes, and its statements in order."""

    number: int
    name: str
    sha256: str
    statements: tuple[Statement, ...]


def read_migrations(folder: Path = FOLDER) -> list[Migration]:
    """All migrations in order.

    Raises MigrationError for a file of another name, a number that is missing or used twice, or text that is no list of
    statements.
    """
    found = [_read(path) for path in sorted(folder.glob("*.sql"))]
    for expected, migration in enumerate(found, start=1):
        if migration.number != expected:
            raise MigrationError(
                f"{folder}: number {expected:04d} is expected where {migration.name} stands; number the "
                "files 0001, 0002, … without a hole"
            )
    return found


def migration_text(statements: Iterable[Statement]) -> str:
    """The content of a file with these statements."""
    return "\n".join(f"-- {each.name} ({each.kind})\n{each.template};\n" for each in statements)


def _read(path: Path) -> Migration:
    number = _FILE_NAME.fullmatch(path.name)
    if number is None:
        raise MigrationError(f"{path} is no migration: name it NNNN_what_it_does.sql, in small letters")
    content = path.read_bytes()
    text = content.decode()
    statements = tuple(_statement(path, match) for match in _STATEMENT.finditer(text))
    if not statements or migration_text(statements) != text:
        raise MigrationError(
            f"{path}: each statement begins with a line '-- database.object (kind)', ends with ';' at the "
            "end of a line, and one empty line lies between two; correct the file"
        )
    return Migration(number=int(number[1]), name=path.name, sha256=hashlib.sha256(content).hexdigest(), statements=statements)


def _statement(path: Path, match: re.Match[str]) -> Statement:
    for kind in get_args(Kind):
        if match["kind"] == kind:
            return Statement(name=match["name"], kind=kind, template=match["template"])
    raise MigrationError(f"{path}: {match['name']} is of kind {match['kind']!r}; use one of {', '.join(get_args(Kind))}")
