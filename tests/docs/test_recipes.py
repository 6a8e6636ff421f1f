"""A recipe of docs/contributing works to the letter: its blocks are applied to a copy, and its commands are run there."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
RECIPES = REPOSITORY / "docs/contributing"
GENERATED = re.compile(r"docs/(contracts/.+|data-dictionary\.md|asset-graph\.md)|tests/definitions/graph\.txt")
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block, and the last file in bold before it."""

    kind: str
    file: str | None
    text: str


def blocks(page: str) -> Iterator[Block]:
    for found in FENCE.finditer(page):
        named = re.findall(r"\*\*([\w/.-]+)\*\*", page[: found.start()])
        yield Block(found[1], named[-1] if named else None, found[2])


def edited(text: str, diff: str) -> str:
    """`text` with the change of a diff without line numbers, whose old lines must stand there once."""
    old = "".join(f"{line[1:]}\n" for line in diff.splitlines() if line[:1] != "+")
    new = "".join(f"{line[1:]}\n" for line in diff.splitlines() if line[:1] != "-")
    assert text.count(old) == 1, f"stands {text.count(old)} times and not once:\n{old}"
    return text.replace(old, new)


def follow(page: str, checkout: Path) -> list[str]:
    """Do what the page says, in order; returns the commands it has, which are left to the reader."""
    commands: list[str] = []
    for block in blocks(page):
        if block.kind == "sh":
            commands += block.text.splitlines()
            continue
        assert block.file is not None, block.text
        file = checkout / block.file
        if block.kind == "diff":
            file.write_text(edited(file.read_text(encoding="utf-8"), block.text), encoding="utf-8")
        else:
            assert not file.exists(), f"{block.file} is there already"
            file.write_text(block.text, encoding="utf-8")
    return commands


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what git has of the repository, with its environment."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (REPOSITORY / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, tmp_path / name)
    (tmp_path / ".venv").symlink_to(REPOSITORY / ".venv")
    return tmp_path


def contents(checkout: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(checkout)): path.read_bytes()
        for path in checkout.rglob("*")
        if path.is_file() and path.suffix != ".pyc" and not str(path.relative_to(checkout)).startswith(".")
    }


@pytest.mark.slow
@pytest.mark.parametrize(("recipe", "files"), [("a-column", 3), ("a-table", 5)])
def test_a_recipe_works_to_the_letter(recipe: str, files: int, checkout: Path) -> None:
    before = contents(checkout)
    commands = follow((RECIPES / f"{recipe}.md").read_text(encoding="utf-8"), checkout)
    assert any("pytest" in command for command in commands)
    environment = {"PATH": os.environ["PATH"], "HOME": str(checkout), "PYTHONPATH": str(checkout)}
    for command in commands:
        done = subprocess.run(["bash", "-c", command], cwd=checkout, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout[-6000:]}\n{done.stderr[-2000:]}"
    after = contents(checkout)
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert len({name for name in changed if not GENERATED.fullmatch(name)}) == files, sorted(changed)


@pytest.mark.parametrize("recipe", sorted(RECIPES.glob("*.md")), ids=lambda path: path.stem)
def test_contributing_names_every_recipe(recipe: Path) -> None:
    assert f"(docs/contributing/{recipe.name})" in (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_a_diff_is_applied_once_or_not_at_all() -> None:
    assert edited("a\nb\nc\n", " a\n-b\n+x\n+y\n") == "a\nx\ny\nc\n"
    for text in ("a\nc\n", "a\nb\na\nb\n"):
        with pytest.raises(AssertionError, match="and not once"):
            edited(text, " a\n-b\n+x\n")
