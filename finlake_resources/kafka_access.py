"""Where Kafka is and how its clients log in: every client of the broker takes its settings for that from here."""

from dataclasses import dataclass
from pathlib import Path

from finlake_resources.secret_files import secret_of

USER = "finlake"
# The broker proves that it knows the password too: who takes its port while it is down learns nothing.
MECHANISM = "SCRAM-SHA-256"


@dataclass(frozen=True)
class KafkaAccess:
    """A broker at `bootstrap` (`host:port`); the password is read when a client is made. None: it asks for none."""

    bootstrap: str
    password_file: Path | None

    def client_settings(self) -> dict[str, str | int | float | bool]:
        """The settings of librdkafka that say where to connect and as whom. Raises `SecretUnreadable`."""
        if self.password_file is None:
            return {"bootstrap.servers": self.bootstrap}
        return {
            "bootstrap.servers": self.bootstrap, "security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": MECHANISM,
            "sasl.username": USER, "sasl.password": secret_of("kafka", self.password_file),
        }
