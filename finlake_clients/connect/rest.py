"""Kafka Connect: which connectors run, with which configuration, and whether they are healthy.

A connector's configuration is wanted as a whole: `register` brings it about, `drift` tells what somebody changed by
hand. Secrets stand in a configuration as references, which the worker alone resolves.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast
from urllib.parse import quote

if TYPE_CHECKING:
    import ssl

    import httpx

ConnectorState = Literal["RUNNING", "PAUSED", "STOPPED", "UNASSIGNED", "RESTARTING", "FAILED"]

EXACTLY_ONCE = "exactly.once.support"

_REQUEST_TIMEOUT_S = 30

_CAUSE = "Caused by: "

# What the Avro converter says of columns that the schema registry refuses.
_REFUSED_SCHEMA = "RuleViolationException: Incompatible artifact: "

# The worker waited for Kafka, or for its leader, longer than its own limit. It answers both with 500, as it does what no
# repetition cures: a class of connector that it has not got.
_PASSING_ERRORS = ("Request timed out", "IO Error trying to forward")


class ConnectError(Exception):
    """Kafka Connect did not do what was asked."""


class ConnectUnavailableError(ConnectError):
    """The worker does not answer, or stays busy with a rebalance, however often it was asked."""


class ConnectorUnknownError(ConnectError):
    """The worker has no connector of this name."""


class ConnectRefusedError(ConnectError):
    """The worker answers that the request is wrong; asking again cannot help."""


class ConnectorFailedError(ConnectError):
    """A connector or one of its tasks has failed; the message holds the first line of its trace."""


class ConnectorNotReadyError(ConnectError):
    """A connector did not come to the wanted state in time."""


@dataclass(frozen=True)
class TaskStatus:
    """One task of a connector; `trace` is the Java stack trace of a failed one."""

    id: int
    state: ConnectorState
    worker: str
    trace: str | None


@dataclass(frozen=True)
class ConnectorStatus:
    """A connector with its tasks; a connector that runs may have failed tasks, or none yet."""

    name: str
    state: ConnectorState
    trace: str | None
    tasks: tuple[TaskStatus, ...]

    @property
    def is_running(self) -> bool:
        """The connector and at least one task run, and no task does anything else."""
        return self.state == "RUNNING" and bool(self.tasks) and all(task.state == "RUNNING" for task in self.tasks)

    @property
    def failure(self) -> str | None:
        """First line of the trace of what failed, and of what caused it at last; None when nothing has."""
        states = [(self.state, self.trace), *((task.state, task.trace) for task in self.tasks)]
        traces = [trace or "no reason given" for state, trace in states if state == "FAILED"]
        if not traces:
            return None
        lines = traces[0].strip().splitlines()
        causes = [line.removeprefix(_CAUSE).strip() for line in lines if line.startswith(_CAUSE)]
        if not causes:
            return lines[0]
        _, is_refusal, refusal = causes[-1].partition(_REFUSED_SCHEMA)
        if is_refusal:
            topic, why = refusal.partition("-value ")[0], refusal.rpartition("Causes: ")[2]
            return (
                f"the schema registry refuses the new columns of {topic} ({why}); undo the change of the table, or take it: "
                "docs/incompatible-columns.md"
            )
        return f"{lines[0]}; because of {causes[-1]}"


@dataclass(frozen=True)
class ConnectorFailure:
    """Why a connector does not run, and the position of the change that it cannot pass, as far as that is known."""

    reason: str
    record: str = ""

    def __str__(self) -> str:
        if not self.record:
            return self.reason
        return f"{self.reason} (at {self.record}; if it fails there again and again, see docs/stuck-change.md)"


@dataclass(frozen=True)
class KafkaConnect:
    """The REST interface of a Connect cluster at `url`.

    Every verb raises ConnectUnavailableError when the worker does not answer for `timeout_s` seconds or is busy with a
    rebalance for as long, and ConnectRefusedError when it refuses; those about one connector raise ConnectorUnknownError.
    """

    url: str
    # Key and certificate as PEM, in which there is also what the worker's certificate is signed with. None: the worker asks
    # for no certificate.
    certificate_file: Path | None
    # After the death of its broker a worker answers nothing about a connector until it has joined its group again; on two
    # busy cores that took more than a minute.
    timeout_s: float = 180

    def names(self) -> list[str]:
        """The names of all connectors."""
        return sorted(cast(list[str], self._ask("GET", "/connectors")))

    def config(self, name: str) -> dict[str, str]:
        """The present configuration, with references where secrets are."""
        return cast(dict[str, str], self._ask("GET", f"{_path(name)}/config"))

    def register(self, name: str, config: Mapping[str, str]) -> tuple[str, ...]:
        """Bring about this configuration; returns the settings that were changed (all of them for a new connector).

        A connector that has it already is left alone, whatever its state.
        """
        try:
            changed = self.drift(name, config)
        except ConnectorUnknownError:
            changed = tuple(sorted(config))
        if changed:
            self._ask("PUT", f"{_path(name)}/config", dict(config))
        return changed

    def drift(self, name: str, wanted: Mapping[str, str]) -> tuple[str, ...]:
        """The settings that differ from `wanted`, sorted: changed, missing, or not wanted."""
        present = self.config(name)
        # The worker adds the name.
        return tuple(sorted(key for key in (present.keys() | wanted.keys()) - {"name"} if present.get(key) != wanted.get(key)))

    def status(self, name: str) -> ConnectorStatus:
        """The state of a connector and of each task."""
        answer = self._ask("GET", f"{_path(name)}/status")
        connector = answer["connector"]
        tasks = (TaskStatus(task["id"], task["state"], task["worker_id"], task.get("trace")) for task in answer["tasks"])
        return ConnectorStatus(name, connector["state"], connector.get("trace"), tuple(tasks))

    def explain(self, status: ConnectorStatus) -> ConnectorFailure | None:
        """Why a connector of this status has failed, with the change it stands before; None when it has not.

        A connector that fails again at the same position cannot pass the change there.
        """
        reason = status.failure
        if reason is None:
            return None
        try:
            return ConnectorFailure(reason, self.position(status.name))
        except ConnectError:
            # The reason is worth reporting without the position.
            return ConnectorFailure(reason)

    def position(self, name: str) -> str:
        """The position in Postgres's log up to which a connector's changes are in Kafka, in words; empty when it has none."""
        offsets = self._ask("GET", f"{_path(name)}/offsets").get("offsets")
        lsn = offsets[0]["offset"].get("lsn") if offsets and offsets[0]["offset"] else None
        return "" if lsn is None else f"the first change after LSN {lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"

    def wait_until_running(self, name: str, timeout_s: float = 60, *, failed_for_s: float = 0) -> ConnectorStatus:
        """Wait until the connector and its tasks run.

        Raises ConnectorFailedError when it has stood failed for `failed_for_s`, in which somebody may start it again, and
        ConnectorNotReadyError after `timeout_s`.
        """
        import time

        from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

        failed_since_s: float | None = None

        def look() -> ConnectorStatus:
            nonlocal failed_since_s
            try:
                status = self.status(name)
            except ConnectorUnknownError:
                # A worker knows a new connector's configuration before its state.
                status = ConnectorStatus(name, "UNASSIGNED", None, ())
            if not status.failure:
                failed_since_s = None
                return status
            failed_since_s = failed_since_s or time.monotonic()
            if time.monotonic() - failed_since_s >= failed_for_s:
                raise ConnectorFailedError(
                    f"connector {name} failed: {status.failure}; mend the cause, then restart it or run `finlake up`"
                )
            return status

        settled = Retrying(
            retry=retry_if_result(lambda status: not status.is_running),
            stop=stop_after_delay(timeout_s),
            wait=wait_fixed(0.2),
        )
        try:
            return settled(look)
        except RetryError as error:
            status = cast(ConnectorStatus, error.last_attempt.result())
            tasks = ", ".join(task.state for task in status.tasks) or "none"
            raise ConnectorNotReadyError(
                f"connector {name} is {status.state} (tasks: {tasks}) after {timeout_s:.0f} s; see the worker's log"
            ) from error

    def wait_until_steady(self, name: str, for_s: float) -> None:
        """See that a running connector still runs after `for_s` seconds: one that has failed is RUNNING while it starts, and
        fails again when it meets its cause. Raises ConnectorFailedError."""
        from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

        def runs() -> bool:
            failure = self.explain(self.status(name))
            if failure is not None:
                raise ConnectorFailedError(
                    f"connector {name} fails again: {failure}; capture_keeper goes on trying, mend the cause meanwhile"
                )
            return True

        try:
            Retrying(retry=retry_if_result(bool), stop=stop_after_delay(for_s), wait=wait_fixed(0.5))(runs)
        except RetryError:
            return

    def exactly_once_objections(self, name: str) -> tuple[str, ...]:
        """What the worker and the connector's plugin have against exactly-once delivery as they are set up now.

        The worker checks `exactly.once.support=required` when a configuration arrives and never again: a worker
        restarted without the support would go on with at-least-once. So the present configuration is validated anew.
        """
        config = self.config(name)
        if config.get(EXACTLY_ONCE) != "required":
            return (f"{EXACTLY_ONCE} is {config.get(EXACTLY_ONCE, 'not set')}; register the connector anew",)
        plugin = config["connector.class"].rpartition(".")[2]
        answer = self._ask("PUT", f"/connector-plugins/{plugin}/config/validate", {"name": name, **config})
        values = [entry["value"] for entry in answer["configs"]]
        return tuple(error for value in values if value["name"] == EXACTLY_ONCE for error in value["errors"])

    def restart_failed(self, name: str) -> None:
        """Restart what of the connector has failed; the rest goes on."""
        self._ask("POST", f"{_path(name)}/restart?includeTasks=true&onlyFailed=true")

    def restart(self, name: str) -> None:
        """Restart the connector and all of its tasks."""
        self._ask("POST", f"{_path(name)}/restart?includeTasks=true&onlyFailed=false")

    def resume(self, name: str) -> None:
        """Go on after `stop`, or after somebody's pause."""
        self._ask("PUT", f"{_path(name)}/resume")

    def stop(self, name: str) -> None:
        """End the tasks and keep configuration and offsets."""
        self._ask("PUT", f"{_path(name)}/stop")

    def _ask(self, method: str, path: str, body: dict[str, str] | None = None) -> Any:
        """The answer's JSON, None when there is none. Asks again while it can help."""
        import httpx
        from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

        certificate = True if self.certificate_file is None else tls_context(self.certificate_file)

        def ask() -> Any:
            try:
                response = httpx.request(
                    method, self.url + path, json=body, verify=certificate, timeout=_REQUEST_TIMEOUT_S, trust_env=False
                )
            except httpx.TransportError as error:
                if _is_about_certificates(error):
                    raise ConnectRefusedError(
                        f"Kafka Connect at {self.url} and this client do not know each other's certificates ({error}); "
                        "see that FINLAKE_CONNECT_CERTIFICATE_FILE names the worker's"
                    ) from error
                raise ConnectUnavailableError(
                    f"Kafka Connect at {self.url} does not answer ({error or type(error).__name__}); see that its worker runs"
                ) from error
            return _content(response, path)

        attempts = Retrying(
            retry=retry_if_exception_type(ConnectUnavailableError),
            stop=stop_after_delay(self.timeout_s),
            wait=wait_random_exponential(multiplier=0.2, max=3),
            reraise=True,
        )
        return attempts(ask)


def tls_context(certificate_file: Path) -> "ssl.SSLContext":
    """How to speak to a worker that asks for a certificate and shows one.

    Raises ConnectRefusedError when the file cannot be used.
    """
    import ssl

    try:
        context = ssl.create_default_context(cafile=certificate_file)
        context.load_cert_chain(certificate_file)
    except OSError as error:
        # ssl's own errors are among these.
        raise ConnectRefusedError(
            f"the certificate for Kafka Connect in {certificate_file} cannot be read ({type(error).__name__}); "
            "see that FINLAKE_CONNECT_CERTIFICATE_FILE names a PEM file with key and certificate"
        ) from error
    return context


def _is_about_certificates(error: BaseException | None) -> bool:
    import ssl

    while error is not None:
        # The worker's verdict comes as an alert, such as TLSV13_ALERT_CERTIFICATE_REQUIRED.
        if isinstance(error, ssl.SSLError) and ("CERTIFICATE" in error.reason or "UNKNOWN_CA" in error.reason):
            return True
        error = error.__cause__ or error.__context__
    return False


def _path(name: str) -> str:
    return f"/connectors/{quote(name, safe='')}"


def _content(response: "httpx.Response", path: str) -> Any:
    if response.is_success:
        return response.json() if response.content else None
    try:
        message = " ".join(str(response.json()["message"]).split())
    except (ValueError, KeyError, TypeError):
        # The web server of a worker that has not started its interface yet.
        raise ConnectUnavailableError(f"Kafka Connect is starting ({response.status_code} for {path}); try again") from None
    # 409: a rebalance is under way.
    if response.status_code in {409, 503} or any(text in message for text in _PASSING_ERRORS):
        raise ConnectUnavailableError(f"Kafka Connect is busy ({message}); try again when its rebalance is over")
    if response.status_code == 404 and path.startswith("/connectors/"):
        raise ConnectorUnknownError(f"Kafka Connect does not know {path} ({message}); register the connector")
    raise ConnectRefusedError(f"Kafka Connect refuses {path} with {response.status_code}: {message}")
