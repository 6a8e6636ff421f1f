"""How a setting is declared: a field whose annotation carries a `Setting`, and whose path in the model is its variable's name.

`kafka: Kafka` with a field `bootstrap` is FINLAKE_KAFKA_BOOTSTRAP. Does not belong here: which settings there are.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import parse_qs, urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

from finlake_settings.variable_names import variable

EnvironmentName = Literal["local", "staging", "production"]
SourcesName = Literal["sample", "live"]
EngineName = Literal["embedded", "spark"]
StreamFormat = Literal["json", "avro"]
ENVIRONMENTS: tuple[EnvironmentName, ...] = get_args(EnvironmentName)


class Needed(Enum):
    """The mark of a setting without a default."""

    NEEDED = "must be set"


NEEDED = Needed.NEEDED
Default = str | None | Needed


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a setting is and what it is when no variable says so.

    `about` is a phrase that completes "<variable>: ...". A default is given `everywhere`, or for the environment `local` and
    for a `cluster` (staging and production); one for `sample` or `live` sources goes before those. It is text as a variable
    would hold it, where {checkout}, {home}, {sample_sources_url}, {sample_sources_ws_url} and the names of a local stack's ports
    stand for values; None means that there is none. `is_of_stack`: a local stack decides it, whatever a user sets.
    """

    about: str
    everywhere: Default = NEEDED
    local: Default = NEEDED
    cluster: Default = NEEDED
    sample: Default = NEEDED
    live: Default = NEEDED
    is_of_stack: bool = False

    def default(self, environment: object, sources: object) -> Default:
        """The default in an environment with these sources; NEEDED also for names that there are none of."""
        of_sources = {"sample": self.sample, "live": self.live}.get(str(sources), NEEDED)
        of_environment = self.local if environment == "local" else self.cluster if environment in ENVIRONMENTS else NEEDED
        return next((each for each in (of_sources, of_environment, self.everywhere) if each is not NEEDED), NEEDED)


class Group(BaseModel):
    """Settings of one system; a subclass adds what only some processes need of it."""

    model_config = ConfigDict(frozen=True)


@dataclass(frozen=True, kw_only=True)
class Declared:
    """A setting at its place in a model: `path` is ("kafka", "bootstrap"), `type` its type without the annotation."""

    path: tuple[str, ...]
    type: Any
    setting: Setting

    @property
    def variable(self) -> str:
        """The name of its variable."""
        return variable(*self.path)


def declared(model: type[BaseModel], within: tuple[str, ...] = ()) -> Iterator[Declared]:
    """The settings of a model, those of its groups included, in the order of their fields."""
    for name, field in model.model_fields.items():
        path, kind = (*within, name), field.annotation
        if isinstance(kind, type) and issubclass(kind, Group):
            yield from declared(kind, path)
        else:
            (setting,) = (each for each in field.metadata if isinstance(each, Setting))
            yield Declared(path=path, type=kind, setting=setting)


def _without_password(address: str) -> str:
    """Addresses are shown in logs and messages, secrets are read from files only."""
    parts = urlsplit(address)
    if parts.password is not None or "password" in parse_qs(parts.query):
        raise ValueError("it holds a password, which belongs into a file that a setting of its own names")
    return address


@dataclass(frozen=True)
class _Scheme:
    """A validator: an address begins with one of the schemes."""

    schemes: tuple[str, ...]

    def __call__(self, address: str) -> str:
        if urlsplit(address).scheme not in self.schemes or not urlsplit(address).netloc:
            raise ValueError(f"it is no address that begins with {' or '.join(f'{each}://' for each in self.schemes)}")
        return address


def _entries(text: object) -> object:
    """A list that is separated by commas."""
    return tuple(entry.strip() for entry in text.split(",") if entry.strip()) if isinstance(text, str) else text


def _brokers(text: str) -> str:
    if not all(re.fullmatch(r"[^\s,/:]+:\d+", broker) for broker in text.split(",")):
        raise ValueError("it is no list of host:port, separated by commas")
    return text


HttpAddress = Annotated[str, AfterValidator(_Scheme(("http", "https"))), AfterValidator(_without_password)]
WebsocketAddress = Annotated[str, AfterValidator(_Scheme(("ws", "wss"))), AfterValidator(_without_password)]
Brokers = Annotated[str, AfterValidator(_brokers)]
DatabaseAddress = Annotated[str, AfterValidator(_without_password)]
AbsolutePath = Annotated[Path, AfterValidator(Path.absolute)]
Words = Annotated[tuple[str, ...], BeforeValidator(_entries)]
