"""From variables to settings and back."""

import os
from collections.abc import Iterator, Mapping
from functools import reduce
from typing import Any, TypeVar

from pydantic import ValidationError

from finlake_settings.checkout import CHECKOUT
from finlake_settings.declaration import NEEDED, declared
from finlake_settings.local_stack import USUAL_PORTS
from finlake_settings.processes import ProcessSettings, Settings

Model = TypeVar("Model", bound=ProcessSettings)


class SettingsError(ValueError):
    """Settings are missing or make no sense: which variables, what is wrong with each, what to do. No value is shown."""


def read_settings(model: type[Model]) -> Model:
    """The settings of this process. Raises `SettingsError`."""
    return settings_from(model, os.environ)


def settings_from(model: type[Model], variables: Mapping[str, str], ports: Mapping[str, int] = USUAL_PORTS) -> Model:
    """What the FINLAKE_* among `variables` say, and defaults for the rest; an empty variable counts as none.

    `ports` are those of the local stack by service. Raises `SettingsError`.
    """
    placeholders = {"checkout": CHECKOUT, **ports}
    # First what defaults depend on: when it is wrong, nothing can be said of the rest.
    base = _settings_of(ProcessSettings, variables, placeholders)
    return _settings_of(model, variables, {**placeholders, "home": base.home})


def user_variables() -> dict[str, str]:
    """The variables of this process that a user may set before a local stack starts; the stack decides the others."""
    names = (each.variable for each in declared(Settings) if not each.setting.is_of_stack)
    return {name: os.environ[name] for name in names if os.environ.get(name)}


def variables_of(settings: ProcessSettings) -> dict[str, str]:
    """The variables that give another process the same settings; those without a value are left out."""
    values = ((each.variable, reduce(getattr, each.path, settings)) for each in declared(type(settings)))
    return {name: ",".join(value) if isinstance(value, tuple) else str(value) for name, value in values if value is not None}


def _settings_of(model: type[Model], variables: Mapping[str, str], placeholders: Mapping[str, object]) -> Model:
    values: dict[str, Any] = {}
    for each in declared(model):
        *groups, name = each.path
        group = reduce(lambda within, key: within.setdefault(key, {}), groups, values)
        default = each.setting.default(values.get("environment"), values.get("sources"))
        if given := variables.get(each.variable):
            group[name] = given
        elif default is not NEEDED:
            group[name] = default if default is None else _filled_in(default, placeholders, values.get("sample_sources_url"))
    try:
        return model(**values)
    except ValidationError as error:
        raise SettingsError("; ".join(_problems(error, model, values))) from None


def _filled_in(default: str, placeholders: Mapping[str, object], samples: object) -> str:
    """A default with its placeholders filled in."""
    return default.format_map(
        {**placeholders, "sample_sources_url": samples, "sample_sources_ws_url": str(samples).replace("http", "ws", 1)}
    )


def _problems(error: ValidationError, model: type[ProcessSettings], values: Mapping[str, object]) -> Iterator[str]:
    """A sentence per problem. A value is never among them: somebody may have put a secret where its file's path belongs."""
    known = {each.path: each for each in declared(model)}
    found = error.errors(include_url=False, include_input=False)
    # Of an environment that there is not, all that has no default there is missing too.
    for each in [each for each in found if each["loc"] == ("environment",)] or found:
        one, said = known.get(tuple(map(str, each["loc"]))), each["msg"].removeprefix("Value error, ")
        if one is None:
            yield said
        elif each["type"] == "missing":
            yield f"{one.variable} is not set, and {values.get('environment')} has no default; set it: {one.setting.about}"
        else:
            yield f"{one.variable} cannot be used ({said[:1].lower()}{said[1:]}); correct or unset it: {one.setting.about}"
