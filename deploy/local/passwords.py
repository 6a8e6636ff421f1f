"""Passwords of this installation: generated once, kept in files that only their owner may read."""

import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from finlake_clients.secret_files import secret_of


def password_from(file: Path) -> str:
    """The password in `file`; generated on the first call. Raises `SecretUnreadableError`."""
    if not file.is_file():
        write_private(file, secrets.token_urlsafe(32))
    return secret_of("finlake", file)


def write_passfile(file: Path, entries: Iterable[tuple[str, str, str]]) -> None:
    """Write (database, role, password) entries in libpq's pgpass format, for any host and port."""
    write_private(file, "".join(f"*:*:{database}:{role}:{password}\n" for database, role, password in entries))


def write_private(file: Path, text: str) -> None:
    """Replace `file` by one that holds `text` and was never readable for others."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = file.with_name(file.name + ".partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)
    partial.replace(file)
