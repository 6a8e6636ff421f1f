"""Who runs the stack on this machine, and the user that may run Postgres."""

import os
import pwd
import subprocess
import time

from deploy.local.errors import StackError

POSTGRES_ACCOUNT = "finlake_postgres"
MAKE_ACCOUNT = (
    *("useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"),
    *("--shell", "/usr/sbin/nologin", POSTGRES_ACCOUNT),
)
ACCOUNT_ATTEMPTS = 5


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
