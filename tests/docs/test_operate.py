"""The commands of the page about backups bring every file back, on a made-up state folder with a stand-in for the stack."""

import os
import re
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = (REPOSITORY / "docs/operate/backup-and-restore.md").read_text(encoding="utf-8")
MADE_ANEW = ("jars", "tools", "run", "spark/scratch")
STAND_IN = """#!/bin/sh
echo "${0##*/} $*" >> "$CALLS"
"""


def block(title: str) -> str:
    found = re.search(rf"^## {title}\n.*?^```sh\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    assert found is not None, title
    return found[1]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with a state folder; `finlake`, `make` and `git` only note that they were called."""
    checkout = tmp_path / "a checkout"
    for path in (".venv/bin/finlake", "bin/make", "bin/git"):
        (checkout / path).parent.mkdir(parents=True, exist_ok=True)
        (checkout / path).write_text(STAND_IN)
        (checkout / path).chmod(0o755)
    state = checkout / ".finlake"
    for folder in ("secrets", "warehouse/gold", "kafka", "jars", "run", "spark/scratch"):
        (state / folder).mkdir(parents=True)
        (state / folder / "file").write_text(folder)
    (state / "secrets").chmod(0o700)
    (state / "secrets/file").chmod(0o600)
    (state / "identity").write_text("one")
    return checkout


def run(checkout: Path, script: str) -> list[str]:
    """Run a block of the page; returns what was called of the stand-ins, in order."""
    calls = checkout.parent / "calls"
    calls.unlink(missing_ok=True)
    place = block("Say where").replace("/mnt/backups", str(checkout.parent))
    environment = {"PATH": f"{checkout / 'bin'}:{os.environ['PATH']}", "CALLS": str(calls)}
    done = subprocess.run(
        ["bash", "-c", place + script], cwd=checkout, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return calls.read_text().splitlines()


def state_of(folder: Path) -> dict[str, tuple[int, str]]:
    """Rights and content of everything that a backup is for."""
    kept = [path for path in sorted(folder.rglob("*")) if not str(path.relative_to(folder)).startswith(MADE_ANEW)]
    return {str(path.relative_to(folder)): (path.lstat().st_mode, content(path)) for path in kept}


def content(path: Path) -> str:
    if path.is_symlink():
        return os.readlink(path)
    return path.read_text() if path.is_file() else ""


@pytest.mark.parametrize("is_elsewhere", [False, True], ids=["postgres inside", "postgres elsewhere"])
def test_what_was_backed_up_comes_back_as_it_was(checkout: Path, is_elsewhere: bool) -> None:
    state = checkout / ".finlake"
    postgres = checkout.parent / "var lib" if is_elsewhere else state / "postgres"
    (postgres / "data").mkdir(parents=True, mode=0o700)
    (postgres / "data/PG_VERSION").write_text("18")
    if is_elsewhere:
        (state / "postgres").symlink_to(postgres)
    before, cluster_before = state_of(state), state_of(postgres)

    assert run(checkout, block("Back up")) == ["finlake down", "git rev-parse HEAD", "finlake up"]
    (state / "warehouse/gold/file").write_text("changed")
    (state / "identity").unlink()
    (state / "kafka/later").write_text("later")
    (postgres / "data/PG_VERSION").unlink()

    called = run(checkout, block("Restore"))
    assert [call.split()[:2] for call in called] == [
        ["finlake", "down"],
        ["git", "checkout"],
        ["make", "install"],
        ["finlake", "up"],
        ["finlake", "reconcile"],
        ["finlake", "check"],
    ]
    assert state_of(state) == before
    assert state_of(postgres) == cluster_before
    assert (state / "jars/file").read_text() == "jars"
    assert not (state / "run").exists()


def test_a_backup_that_is_not_whole_replaces_nothing(checkout: Path) -> None:
    run(checkout, block("Back up"))
    (archive,) = checkout.parent.glob("finlake-*/state.tar")
    archive.write_bytes(archive.read_bytes()[:-1024] + b"\1" * 1024)
    before = state_of(checkout / ".finlake")
    with pytest.raises(AssertionError, match="did NOT match"):
        run(checkout, block("Restore"))
    assert state_of(checkout / ".finlake") == before
