"""What this machine gives to the stack: the environment its processes inherit, and the user that may run Postgres.

The only module of `deploy` that reads the process environment.
"""

import os
import pwd
from collections.abc import Mapping

# Settings of other installations of the same engines would redirect ours.
FOREIGN_PREFIXES = ("FINLAKE_", "DAGSTER_", "SPARK_", "PYSPARK_", "HADOOP_", "PG", "SUPERVISOR_")

# Variables that a user may set before `finlake up`; the rest of the product's variables follow from the stack.
USER_VARIABLES = (
    "FINLAKE_SOURCES",
    "FINLAKE_WAREHOUSE",
    "FINLAKE_STOOQ_DROP",
    "FINLAKE_STOOQ_APIKEY_FILE",
    "FINLAKE_UNIVERSE",
    "FINLAKE_FINNHUB_URL",
    "FINLAKE_FINNHUB_WS_URL",
    "FINLAKE_FINNHUB_TOKEN_FILE",
    "FINLAKE_FINNHUB_SYMBOLS",
    "FINLAKE_ALERT_WEBHOOK_URL_FILE",
    "FINLAKE_S3_ENDPOINT",
    "FINLAKE_S3_REGION",
    "FINLAKE_S3_ACCESS_KEY_FILE",
    "FINLAKE_S3_SECRET_KEY_FILE",
)


def java_home_variable() -> str | None:
    return os.environ.get("JAVA_HOME") or None


def java_options_variable() -> str:
    """JVM settings of the machine (proxy, trust store), which every JVM reads by itself."""
    return os.environ.get("JAVA_TOOL_OPTIONS", "")


def user_variables() -> dict[str, str]:
    """The product's variables that the user has set."""
    return {name: os.environ[name] for name in USER_VARIABLES if os.environ.get(name)}


def process_environment(own: Mapping[str, str]) -> dict[str, str]:
    """Environment for the stack's processes: the machine's, without other installations' settings, plus `own`."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_PREFIXES)}
    return inherited | dict(own)


def is_root() -> bool:
    return os.geteuid() == 0


def user_name() -> str | None:
    """Name of the present user, None when the machine knows his number only."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return None


def unprivileged_user() -> pwd.struct_passwd:
    """The user that runs Postgres when the stack is started by root, whom Postgres refuses."""
    return pwd.getpwnam("nobody")
