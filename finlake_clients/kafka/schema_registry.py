"""The schema registry, by the protocol of Confluent's: the text of a schema by its number, and the rule for new ones.

Two requests are not worth a client: confluent_kafka's reads an answer of any size, sleeps between attempts of its own, sends the
token to whatever proxy the environment names, and brings six packages. Does not belong here: what a schema means.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from finlake_clients.secret_files import secret_of
from finlake_clients.service_errors import ServiceUnavailableError
from finlake_settings.groups import Kafka

if TYPE_CHECKING:
    import httpx

SERVICE = "schema_registry"
PROTOCOL = "/apis/ccompat/v7"
MAX_ANSWER_BYTES = 512 * 1024
"""An answer holds a schema as text within JSON, in which each of its quotation marks takes two bytes more."""

UNKNOWN = 404

Compatibility = Literal["NONE", "BACKWARD", "FORWARD", "FULL"]


class RegistryUnavailableError(ServiceUnavailableError):
    """The registry does not answer, or not in its protocol."""


class RegistryRefusedError(ServiceUnavailableError):
    """The registry does not let us in, or refuses what it is asked."""

    passes = False


@dataclass(frozen=True)
class SchemaRegistry:
    """A registry at `url`; the token is read for each request. None: it asks for none.

    Every verb raises `RegistryUnavailableError`, `RegistryRefusedError` and `SecretUnreadableError`.
    """

    url: str
    token_file: Path | None
    timeout_s: float = 5.0

    def schema_of(self, number: int) -> str | None:
        """The text of a schema, None for a number that the registry does not know."""
        answer = self._ask("GET", f"/schemas/ids/{number}", known_to_lack=True)
        if answer is None:
            return None
        text = answer.get("schema") if isinstance(answer, dict) else None
        if not isinstance(text, str):
            raise RegistryUnavailableError(SERVICE, self.url, f"its answer holds no schema {number}")
        return text

    def versions(self, subject: str) -> list[int]:
        """The versions of a subject's schema, oldest first; none for a subject that the registry does not know."""
        return list(self._ask("GET", f"/subjects/{subject}/versions", known_to_lack=True) or ())

    def schema(self, subject: str, version: int) -> tuple[int, str]:
        """Number and text of a version of a subject's schema. Raises `RegistryRefusedError` for one that is not there."""
        answer = self._ask("GET", f"/subjects/{subject}/versions/{version}")
        return int(answer["id"]), str(answer["schema"])

    def require(self, compatibility: Compatibility) -> None:
        """Have each new version of a subject's schema fit the one before."""
        self._ask("PUT", "/config", {"compatibility": compatibility})

    def _ask(self, method: str, path: str, body: dict[str, str] | None = None, *, known_to_lack: bool = False) -> Any:
        """The answer's JSON; None when the registry lacks what `known_to_lack` says it may lack."""
        import httpx

        headers = {"accept-encoding": "identity"}
        if self.token_file is not None:
            headers["authorization"] = f"Bearer {secret_of(SERVICE, self.token_file)}"
        try:
            # Not by the environment's proxies: they would see the token.
            with (
                httpx.Client(timeout=self.timeout_s, trust_env=False) as client,
                client.stream(
                    method,
                    f"{self.url}{PROTOCOL}{path}",
                    json=body,
                    headers=headers,
                ) as response,
            ):
                content = self._content(response)
        except httpx.HTTPError as error:
            raise RegistryUnavailableError(SERVICE, self.url, str(error) or type(error).__name__) from error
        # What is no registry at all answers 404 too, but not in its protocol.
        if response.status_code == UNKNOWN and known_to_lack and isinstance(content, dict):
            return None
        said = content.get("message", "") if isinstance(content, dict) else ""
        if response.is_server_error:
            raise RegistryUnavailableError(SERVICE, self.url, f"it answers {response.status_code} to {path}: {said}")
        if not response.is_success:
            raise RegistryRefusedError(SERVICE, self.url, f"it refuses {path} with {response.status_code}: {said}")
        return content

    def _content(self, response: "httpx.Response") -> Any:
        taken = bytearray()
        for part in response.iter_raw():
            taken += part
            if len(taken) > MAX_ANSWER_BYTES:
                raise RegistryUnavailableError(SERVICE, self.url, f"its answer has more than {MAX_ANSWER_BYTES:,} bytes")
        try:
            return msgspec.json.decode(bytes(taken))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise RegistryUnavailableError(SERVICE, self.url, f"its answer {response.status_code} is no JSON") from error


def registry_of(kafka: Kafka, timeout_s: float = 5.0) -> SchemaRegistry | None:
    """The registry that has the schemas of a broker's records; None when all of them are JSON."""
    return None if kafka.registry_url is None else SchemaRegistry(kafka.registry_url, kafka.registry_token_file, timeout_s)


def schemas_of(kafka: Kafka) -> Callable[[int], str | None]:
    """The text of a schema of a broker's records by its number; None for a number that no registry knows."""
    registry = registry_of(kafka)
    return (lambda _: None) if registry is None else registry.schema_of
