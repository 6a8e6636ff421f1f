"""What Dagster loads on this machine: the code location that a workspace file names, and the same one behind its socket."""

import json
from dataclasses import dataclass
from pathlib import Path

from deploy.local.errors import StackError


@dataclass(frozen=True)
class CodeLocation:
    """A code location; `arguments` tell `dagster api grpc` where its code is."""

    name: str
    arguments: tuple[str, ...]


def code_location(workspace: Path) -> CodeLocation:
    """The one code location of a workspace file.

    Raises StackError for a file that names none or several, or one that is neither a `python_module` nor a `python_file`.
    """
    import yaml

    entries = (yaml.safe_load(workspace.read_text(encoding="utf-8")) or {}).get("load_from", [])
    match entries:
        case [{"python_module": {"module_name": str(module), "location_name": str(name)}}]:
            return CodeLocation(name, ("--module-name", module))
        case [{"python_file": {"relative_path": str(path), "location_name": str(name)}}]:
            return CodeLocation(name, ("--python-file", str(workspace.parent / path)))
    raise StackError(
        f"{workspace} has to name one code location, as a python_module (module_name, location_name) or a python_file "
        "(relative_path, location_name)"
    )


def served_workspace(location: CodeLocation, socket: Path) -> str:
    """The workspace file of those who ask a code server, written as JSON, which is YAML."""
    return json.dumps({"load_from": [{"grpc_server": {"socket": str(socket), "location_name": location.name}}]}) + "\n"
