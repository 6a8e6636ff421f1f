"""What this machine gives to the stack: the environment its processes inherit, and the user that may run Postgres.

The only module of `deploy` that reads the process environment.
"""

import os
import pwd
import subprocess
import time
from collections.abc import Mapping

from deploy.local.errors import StackError

POSTGRES_ACCOUNT = "finlake_postgres"
MAKE_ACCOUNT = (
    *("useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"),
    *("--shell", "/usr/sbin/nologin", POSTGRES_ACCOUNT),
)
ACCOUNT_ATTEMPTS = 5

# Settings of other installations of the same engines would redirect ours.
FOREIGN_PREFIXES = ("FINLAKE_", "DAGSTER_", "SPARK_", "PYSPARK_", "HADOOP_", "PG", "SUPERVISOR_")

# Variables that a user may set before `finlake up`; the rest of the product's variables follow from the stack.
USER_VARIABLES = (
    "FINLAKE_SOURCES",
    "FINLAKE_UNATTENDED",
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


def postgres_account() -> pwd.struct_passwd | None:
    """The account that runs Postgres when the stack is started by root, whom Postgres refuses; None before it was made."""
    try:
        return pwd.getpwnam(POSTGRES_ACCOUNT)
    except KeyError:
        return None


def make_postgres_account() -> pwd.struct_passwd:
    """The account that runs root's Postgres, made when it is not there: a system account without home and login.

    An account of its own, because whoever runs as `nobody` could read the data of everything else that does. Raises
    StackError when the machine refuses.
    """
    reason = ""
    for attempt in range(ACCOUNT_ATTEMPTS):
        account = postgres_account()
        if account is not None:
            return account
        # Another stack may be making it at this moment, and then the file of accounts is locked.
        time.sleep(attempt)
        try:
            answer = subprocess.run(MAKE_ACCOUNT, check=False, capture_output=True, text=True)
            reason = " ".join(answer.stderr.strip().splitlines()[-1:])
        except FileNotFoundError:
            reason = "useradd is not installed"
    raise StackError(
        f"the account {POSTGRES_ACCOUNT}, as which root's Postgres runs, cannot be made ({reason}); make it by "
        f"`{' '.join(MAKE_ACCOUNT)}`, or run finlake as an ordinary user"
    )
