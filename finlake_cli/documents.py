"""`python -m finlake_cli.documents`: write what follows from contracts, settings and services; `--check` tells what is stale."""

import argparse
import sys
import tomllib
from pathlib import Path

import yaml

from deploy.local.ports_page import ports_page
from deploy.prometheus.scraping import scrape_config
from finlake_settings.checkout import CHECKOUT
from finlake_settings.document import settings_page
from spark.contracts import serving, speed
from spark.contracts.dictionary import render_dictionary, render_graph
from spark.contracts.lake import TABLES
from spark.contracts.standard_export import standard_document

# The Open Data Contract export is of the lake's tables alone: its quality rules are what their audit runs.
ALL_TABLES = TABLES | {table.address: table for table in (*speed.TABLES, *serving.TABLES)}
CONTRACTS = Path("docs/contracts")
_NOTICE = "# Written by `python -m finlake_cli.documents` from spark/contracts; change the contract, not this file.\n"


def documents(repository: Path) -> dict[Path, str]:
    """Text of every generated document by its path relative to `repository`, whose pyproject.toml gives the version."""
    version = tomllib.loads((repository / "pyproject.toml").read_text())["project"]["version"]
    texts = {
        Path("docs/data-dictionary.md"): render_dictionary(ALL_TABLES),
        Path("docs/asset-graph.md"): render_graph(ALL_TABLES),
        Path("docs/settings.md"): settings_page(),
        Path("docs/ports.md"): ports_page(),
        Path("deploy/prometheus/prometheus.yml"): scrape_config(),
    }
    for table in TABLES.values():
        document = standard_document(table, TABLES, version)
        text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)
        texts[CONTRACTS / f"{table.address}.odcs.yaml"] = _NOTICE + text
    return texts


def stale(repository: Path) -> tuple[Path, ...]:
    """Generated documents that are missing, differ, or belong to a table that is no more, relative to `repository`."""
    wanted = documents(repository)
    found = {path.relative_to(repository) for path in (repository / CONTRACTS).glob("*.odcs.yaml")}
    changed = {path for path, text in wanted.items() if _content(repository / path) != text}
    return tuple(sorted(changed | (found - set(wanted))))


def write(repository: Path) -> tuple[Path, ...]:
    """Make every generated document current; returns the paths that changed, relative to `repository`."""
    wanted, changed = documents(repository), stale(repository)
    for path in changed:
        target = repository / path
        if path in wanted:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(wanted[path], encoding="utf-8")
        else:
            target.unlink()
    return changed


def main(arguments: list[str]) -> int:
    """Write, or with `--check` only compare; 1 when a document is not current."""
    parser = argparse.ArgumentParser(prog="python -m finlake_cli.documents", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a document is not current")
    is_check = parser.parse_args(arguments).check
    changed = stale(CHECKOUT) if is_check else write(CHECKOUT)
    for path in changed:
        print(f"{path} is not current; run python -m finlake_cli.documents" if is_check else f"{path} written")
    return 1 if is_check and changed else 0


def _content(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
