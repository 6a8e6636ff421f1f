"""The checker of rules, `promtool`: built by Go from pinned modules into the state folder, where Go is there.

`python -m deploy.prometheus.checker` builds it once. No registry of ready-made packages has it; a machine without Go, or
without the module proxy, goes without, and a message says so.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from finlake_settings.checkout import CHECKOUT, STATE_FOLDER

FOLDER = CHECKOUT / "deploy" / "prometheus"
MODULE = FOLDER / "promtool"
PROGRAM = "github.com/prometheus/prometheus/cmd/promtool"
# Without the discovery of the clouds' services the build takes a third of the time; no rule needs it.
BUILD = ("build", "-mod=readonly", "-trimpath", "-tags", "remove_all_sd", "-ldflags=-s -w")
TIMEOUT_S = 1800


class CheckerUnavailableError(Exception):
    """promtool cannot be had here; the message says why and what would help."""


def built(tools: Path = CHECKOUT / STATE_FOLDER / "tools" / "bin") -> Path:
    """Where the checker of the pinned version is, or will be."""
    pinned = hashlib.sha256((MODULE / "go.mod").read_bytes() + (MODULE / "go.sum").read_bytes()).hexdigest()
    return tools / f"promtool-{pinned[:12]}"


def find() -> Path | None:
    """The checker: our own, else one that the machine has; None when there is neither."""
    own, found = built(), shutil.which("promtool")
    if own.is_file():
        return own
    return Path(found) if found else None


def build() -> Path:
    """Build the checker unless it is there. Raises `CheckerUnavailableError`."""
    target = built()
    if target.is_file():
        return target
    go = shutil.which("go")
    if go is None:
        raise CheckerUnavailableError("promtool is built by Go, which is not on the path; install Go, or promtool itself")
    target.parent.mkdir(parents=True, exist_ok=True)
    making = target.with_name(f"{target.name}.{os.getpid()}")
    try:
        subprocess.run(
            [go, *BUILD, "-o", str(making), PROGRAM], cwd=MODULE, check=True, capture_output=True, text=True, timeout=TIMEOUT_S
        )
        making.rename(target)
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise CheckerUnavailableError(f"Go could not build promtool ({reason}); see that it reaches its module proxy") from error
    except subprocess.TimeoutExpired as error:
        raise CheckerUnavailableError(f"Go had not built promtool after {TIMEOUT_S} s; try again, what it has is kept") from error
    finally:
        making.unlink(missing_ok=True)
    return target


def main() -> None:
    """Build the checker, or say why the rules will be checked without it; that is no failure."""
    try:
        sys.stdout.write(f"promtool is {build()}\n")
    except CheckerUnavailableError as error:
        sys.stderr.write(f"WARNING: alert rules are checked for form and names alone: {error}\n")


if __name__ == "__main__":
    main()
