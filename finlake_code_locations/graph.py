"""The graph as plain text, one line per asset, to be reviewed in every diff.

`python -m finlake_code_locations.graph > tests/definitions/graph.txt` writes the drawing again.
"""

import sys

import dagster as dg

from finlake_code_locations.build import build_defs
from finlake_settings.processes import DagsterSettings
from finlake_settings.reading import read_settings

HEADER = "key | group | kinds | deps"


def graph_lines(defs: dg.Definitions) -> list[str]:
    """A header and one line per asset, ordered by key."""
    specs = sorted(defs.resolve_all_asset_specs(), key=lambda spec: spec.key)
    return [HEADER, *(_line(spec) for spec in specs)]


def _line(spec: dg.AssetSpec) -> str:
    deps = sorted(dep.asset_key.to_user_string() for dep in spec.deps)
    cells = (spec.key.to_user_string(), spec.group_name or "", " ".join(sorted(spec.kinds)), " ".join(deps))
    return " | ".join(cells).rstrip()


def main() -> None:
    """Print the graph."""
    sys.stdout.write("\n".join(graph_lines(build_defs(read_settings(DagsterSettings)))) + "\n")


if __name__ == "__main__":
    main()
