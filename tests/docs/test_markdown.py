"""Every path and link in a Markdown file of the repository leads somewhere."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
FILE_SUFFIXES = (".py", ".md", ".toml", ".yaml", ".yml", ".lock", ".txt")

PAGES = [
    path
    for path in sorted(REPOSITORY.rglob("*.md"))
    if not any(part.startswith(".") for part in path.relative_to(REPOSITORY).parts)
]
every_page = pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(REPOSITORY)) for page in PAGES])


def prose(text: str) -> str:
    """The page without fenced blocks, which show commands and drawings."""
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def named_paths(text: str) -> set[str]:
    """Backticked words that are relative paths: with a slash, or ending like a file of the repository."""
    words = set(re.findall(r"`([^`\s/~$.][^`\s]*)`", prose(text)))
    return {word for word in words if ("/" in word or word.endswith(FILE_SUFFIXES)) and "://" not in word}


def leads_nowhere(path: str, beside: Path) -> bool:
    """Whether nothing is at `path`, from the repository or from the page's folder; `<word>` stands for any name."""
    pattern = re.sub(r"<[^>]+>", "*", path).rstrip("/")
    return not any(next(root.glob(pattern), None) for root in (REPOSITORY, beside))


def headings(text: str) -> set[str]:
    """Anchors that a Markdown viewer gives to the headings."""
    titles = re.findall(r"^#+ (.+)$", prose(text), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def broken_links(text: str, page: Path) -> list[str]:
    """Relative links without a file, or with an anchor that no heading has."""
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(text)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in headings(target.read_text() if path else text)):
            broken.append(link)
    return broken


@every_page
def test_every_path_in_backticks_exists(page: Path) -> None:
    assert sorted(path for path in named_paths(page.read_text()) if leads_nowhere(path, page.parent)) == []


@every_page
def test_every_relative_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    assert broken_links(page.read_text(), page) == []


def test_paths_are_told_from_other_words() -> None:
    paths = "`spark/jobs/` `a/<b>.py` `universe.toml`\n"
    others = "`make test` `https://a.b/c` `gold.indicators` `/etc/x` `.finlake/x`\n```\n`x/y.py`\n```\n"
    assert named_paths(paths + others) == {"spark/jobs/", "a/<b>.py", "universe.toml"}


def test_a_path_that_is_not_there_is_noticed() -> None:
    assert [
        leads_nowhere(path, REPOSITORY / "docs")
        for path in (
            "spark/jobs/",
            "spark/jobs/<layer>/ml_labels.py",
            "data-dictionary.md",
            "spark/jobs/nothing.py",
            "nothing.md",
        )
    ] == [False, False, False, True, True]


def test_a_link_that_leads_nowhere_is_noticed() -> None:
    good = "# Some.thing else\n[a](#something-else) [b](attributions.md#formulas) [c](https://x.y)\n"
    bad = "[d](#nothing) [e](no.md) [f](attributions.md#nothing)"
    page = REPOSITORY / "docs/data-dictionary.md"
    assert broken_links(good + bad, page) == ["#nothing", "no.md", "attributions.md#nothing"]
