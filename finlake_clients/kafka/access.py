"""How clients of Kafka log in: every client of the broker takes its settings for that from here."""

from finlake_clients.secret_files import secret_of
from finlake_settings.groups import Kafka

USER = "finlake"
# The broker proves that it knows the password too: who takes its port while it is down learns nothing.
MECHANISM = "SCRAM-SHA-256"


def client_settings(kafka: Kafka) -> dict[str, str | int | float | bool]:
    """The settings of librdkafka that say where to connect and as whom. Raises `SecretUnreadableError`."""
    if kafka.password_file is None:
        return {"bootstrap.servers": kafka.bootstrap}
    return {
        "bootstrap.servers": kafka.bootstrap,
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": MECHANISM,
        "sasl.username": USER,
        "sasl.password": secret_of("kafka", kafka.password_file),
    }
