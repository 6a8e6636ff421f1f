"""The table of all settings as a page for people: docs/settings.md, written by `python -m finlake_cli.documents`."""

from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from finlake_settings.declaration import NEEDED, Declared, Default, declared
from finlake_settings.local_stack import USUAL_PORTS
from finlake_settings.processes import PROCESSES, Settings
from finlake_settings.variable_names import variable

HEAD = """# Settings

<!-- Written by `python -m finlake_cli.documents` from finlake_settings; change the declaration there, not this page. -->

A process gets every setting by a variable; an empty one counts as none. A secret is never in a variable: the variable names its
file. What is missing or wrong is refused at the start, all of it at once, by the names of the variables.

`finlake up` sets the variables marked *stack* for its processes; the others may be set before it. A default that says
`sample:` and `live:` depends on `FINLAKE_SOURCES`. *needed*: there is no default. `$CHECKOUT` is the folder of this
repository. A process asks only for what stands with its name; the command `finlake` knows all.

| variable | what it is | form | local | staging, production | asked for by |
|---|---|---|---|---|---|
"""
FORMS = {bool: "`true` or `false`", Path: "path", str: "text", tuple: "list"}


def settings_page() -> str:
    """The page; one line per setting, by name."""
    return HEAD + "".join(f"{_line(each)}\n" for each in sorted(declared(Settings), key=lambda each: each.variable))


def _line(one: Declared) -> str:
    users = [name for name, model in PROCESSES.items() if model is not Settings and one.path in _paths(model)]
    mark = ", *stack*" if one.setting.is_of_stack else ""
    cells = (
        f"`{one.variable}`",
        one.setting.about + mark,
        _form(one.type),
        _default(one, "local"),
        _default(one, "production"),
        ", ".join(users) or "finlake",
    )
    return f"| {' | '.join(cells)} |"


def _paths(model: type[Any]) -> set[tuple[str, ...]]:
    return {each.path for each in declared(model)}


def _form(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return " or ".join(f"`{word}`" for word in get_args(kind))
    if get_origin(kind) in (Union, UnionType):
        kind = next(each for each in get_args(kind) if each is not type(None))
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    return FORMS[get_origin(kind) or kind]


def _default(one: Declared, environment: str) -> str:
    by_sources = {sources: _shown(one.setting.default(environment, sources)) for sources in ("sample", "live")}
    if environment == "production" or by_sources["sample"] == by_sources["live"]:
        return by_sources["live"]
    return ", ".join(f"{sources}: {shown}" for sources, shown in by_sources.items())


def _shown(default: Default) -> str:
    if default is NEEDED:
        return "*needed*"
    if default is None:
        return "none"
    samples = f"${variable('sample_sources_url')}"
    return (
        "`"
        + default.format_map(
            {
                "checkout": "$CHECKOUT",
                "home": f"${variable('home')}",
                "sample_sources_url": samples,
                "sample_sources_ws_url": samples,
                **USUAL_PORTS,
            }
        )
        + "`"
    )
