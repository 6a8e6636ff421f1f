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
GENERATED = re.compile(
    r"docs/(contracts/.+|data-dictionary\.md|asset-graph\.md|settings\.md|ports\.md)|deploy/prometheus/prometheus\.yml"
    r"|tests/definitions/graph\.txt"
)
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
            commands += block.text.replace("\\\n", " ").splitlines()
            continue
        assert block.file is not None, block.text
        file = checkout / block.file
        if block.kind == "diff":
            file.write_text(edited(file.read_text(encoding="utf-8"), block.text), encoding="utf-8")
        else:
            assert not file.exists(), f"{block.file} is there already"
            file.parent.mkdir(parents=True, exist_ok=True)
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


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a page needs: new files and lists to add to, tests aside; and the tests of what follows from it, if it has any."""

    new: int
    lists: int
    tests: int
    shown_by: str | None = None


PAGES = {
    "a-column": Recipe(new=0, lists=2, tests=1),
    "a-table": Recipe(new=3, lists=1, tests=1),
    "a-vendor": Recipe(new=6, lists=3, tests=2, shown_by="applied_vendor.py"),
    "a-service": Recipe(new=2, lists=1, tests=1, shown_by="applied_service.py"),
}


def run_in(checkout: Path, command: str) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(checkout), "PYTHONPATH": str(checkout)}
    done = subprocess.run(["bash", "-c", command], cwd=checkout, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout[-6000:]}\n{done.stderr[-2000:]}"


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_a_recipe_works_to_the_letter(page: str, checkout: Path) -> None:
    recipe, before = PAGES[page], contents(checkout)
    commands = follow((RECIPES / f"{page}.md").read_text(encoding="utf-8"), checkout)
    # What is shown besides goes along with the last command: a process that starts costs more than most tests.
    assert "pytest" in commands[-1]
    if recipe.shown_by is not None:
        commands[-1] += f" tests/docs/{recipe.shown_by}"
    for command in commands:
        run_in(checkout, command)
    after = contents(checkout)
    written = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    by_hand = {name for name in written if not GENERATED.fullmatch(name)}
    tests = {name for name in by_hand if name.startswith("tests/")}
    new = by_hand - tests - before.keys()
    assert (len(new), len(by_hand - tests - new), len(tests)) == (recipe.new, recipe.lists, recipe.tests), sorted(by_hand)


@pytest.mark.parametrize(("page", "name"), [("a-vendor", "aureus"), ("a-service", "memory_watch")])
def test_what_a_recipe_adds_bears_its_name_or_is_a_line_of_a_list(page: str, name: str, checkout: Path) -> None:
    before = contents(checkout)
    follow((RECIPES / f"{page}.md").read_text(encoding="utf-8"), checkout)
    after = contents(checkout)
    assert [file for file in after.keys() - before.keys() if name not in file] == []
    # So it is gone again when these files and these lines are: none that was there has changed.
    for file, content in before.items():
        lines = iter(after[file].splitlines())
        assert all(line in lines for line in content.splitlines()), f"{file} has changed lines, not only new ones"


@pytest.mark.parametrize("recipe", sorted(RECIPES.glob("*.md")), ids=lambda path: path.stem)
def test_contributing_names_every_recipe(recipe: Path) -> None:
    assert f"(docs/contributing/{recipe.name})" in (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_a_diff_is_applied_once_or_not_at_all() -> None:
    assert edited("a\nb\nc\n", " a\n-b\n+x\n+y\n") == "a\nx\ny\nc\n"
    for text in ("a\nc\n", "a\nb\na\nb\n"):
        with pytest.raises(AssertionError, match="and not once"):
            edited(text, " a\n-b\n+x\n")
