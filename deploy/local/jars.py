"""The jars that Spark needs beside its own, fetched once by the Ivy that pyspark ships and checked by digest.

Ivy and the JVM take proxies, mirrors and trust stores from JAVA_TOOL_OPTIONS as any JVM does.
"""

import fcntl
import hashlib
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.local.errors import StackError
from deploy.local.java import Java


@dataclass(frozen=True)
class Jar:
    """One artifact of Maven Central, complete in itself (no transitive dependencies)."""

    organisation: str
    module: str
    version: str
    sha256: str

    @property
    def file_name(self) -> str:
        return f"{self.module}-{self.version}.jar"

    @property
    def coordinates(self) -> str:
        return f"{self.organisation}:{self.module}:{self.version}"


ICEBERG = Jar(
    "org.apache.iceberg",
    "iceberg-spark-runtime-4.1_2.13",
    "1.12.0",
    "3123c3798af642dd537230923548e013ef41cc28b6626e5225808cf5670a0f82",
)
POSTGRES_DRIVER = Jar(
    "org.postgresql", "postgresql", "42.7.11", "1981b31d3993c58702783c1cddf10a34e48c1f413d70ff1cb6def0a143484647"
)
ICEBERG_AWS = Jar(
    "org.apache.iceberg",
    "iceberg-aws-bundle",
    "1.12.0",
    "dd7e49ffa4ac9b215bed846581991259e3aec9bb2fa08d6cec029c46cd66d957",
)


def required_jars(s3: bool) -> tuple[Jar, ...]:
    """The jars of the Spark class path; the AWS bundle only for a warehouse in S3."""
    return (ICEBERG, POSTGRES_DRIVER, ICEBERG_AWS) if s3 else (ICEBERG, POSTGRES_DRIVER)


def missing_jars(folder: Path, jars: Iterable[Jar]) -> list[Jar]:
    """Those of `jars` that are not in `folder` with the expected content."""
    return [jar for jar in jars if not _is_intact(folder / jar.file_name, jar)]


def fetch_jars(folder: Path, jars: Iterable[Jar], java: Java) -> list[Jar]:
    """Download what is missing into `folder`; returns what was downloaded.

    A download that was interrupted resumes with the jars that had arrived. Raises StackError when a jar cannot be
    had or has not the pinned SHA-256 digest.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder / ".lock"):
        missing = missing_jars(folder, jars)
        if not missing:
            return []
        work = folder / ".fetching"
        work.mkdir(exist_ok=True)
        (work / "ivy.xml").write_text(ivy_module(missing))
        _retrieve(work, java, missing)
        for jar in missing:
            fetched = work / "lib" / jar.file_name
            if not _is_intact(fetched, jar):
                shutil.rmtree(work)
                raise StackError(
                    f"{jar.coordinates} arrived with another content than finlake was built with "
                    f"(expected SHA-256 {jar.sha256}); check the proxy or mirror, then run `finlake up` again"
                )
            fetched.replace(folder / jar.file_name)
        shutil.rmtree(work)
        return missing


def ivy_module(jars: Iterable[Jar]) -> str:
    """The Ivy file that asks for exactly these jars."""
    dependencies = "\n".join(
        f'    <dependency org="{jar.organisation}" name="{jar.module}" rev="{jar.version}" '
        'conf="default->master" transitive="false"/>'
        for jar in jars
    )
    return (
        '<ivy-module version="2.0">\n'
        '  <info organisation="finlake" module="spark-jars"/>\n'
        '  <configurations><conf name="default"/></configurations>\n'
        f"  <dependencies>\n{dependencies}\n  </dependencies>\n"
        "</ivy-module>\n"
    )


def spark_home() -> Path:
    """Folder of the Spark distribution inside the pyspark wheel."""
    import pyspark

    return Path(pyspark.__path__[0])


def _retrieve(work: Path, java: Java, jars: list[Jar]) -> None:
    ivy = next((spark_home() / "jars").glob("ivy-*.jar"))
    command = [
        *(str(java.executable), *java.options, "-jar", str(ivy)),
        *("-ivy", "ivy.xml", "-cache", "cache", "-retrieve", "lib/[artifact]-[revision].[ext]"),
    ]
    answer = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    if answer.returncode != 0 or not all((work / "lib" / jar.file_name).is_file() for jar in jars):
        (work / "ivy.log").write_text(answer.stdout + answer.stderr)
        names = ", ".join(jar.coordinates for jar in jars)
        raise StackError(
            f"cannot download {names} from Maven Central (see {work / 'ivy.log'}); check the network, set a proxy in "
            f"JAVA_TOOL_OPTIONS, or put the files {', '.join(jar.file_name for jar in jars)} into {work.parent}"
        )


def _is_intact(path: Path, jar: Jar) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == jar.sha256


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
