"""The jars that Spark, Kafka and Kafka Connect need, fetched once by the Ivy that pyspark ships and checked by digest.

Spark's and the schema registry's are few and named here. Those of Kafka, Debezium and the Avro converter are more than a
hundred and stand in `kafka-jars.lock`, one per line
(`folder organisation:module:version sha256`), which `python -m deploy.local.lock_jars` makes.

Ivy and the JVM take proxies, mirrors and trust stores from JAVA_TOOL_OPTIONS as any JVM does.
"""

import fcntl
import hashlib
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from deploy.local.errors import StackError
from deploy.local.java import Java
from finlake_settings.checkout import CHECKOUT

LOCK_FILE = CHECKOUT / "deploy" / "local" / "kafka-jars.lock"

# Folders of the lock file: the class path of broker and worker, and the worker's plugin folder with one plugin in it.
KAFKA_FOLDER = "kafka"
PLUGIN_FOLDER = "connect_plugins"
DEBEZIUM_FOLDER = f"{PLUGIN_FOLDER}/debezium"
# On the worker's class path: as a plugin it would not be found, because it does not say of itself that it is one.
CONVERTER_FOLDER = "avro_converter"


@dataclass(frozen=True)
class Jar:
    """One artifact of Maven Central, fetched without its dependencies into `folder` of the jars' folder.

    One with a `classifier` is an archive of a program with all that it needs.
    """

    organisation: str
    module: str
    version: str
    sha256: str
    folder: str = "."
    classifier: str | None = None

    @property
    def extension(self) -> str:
        return "jar" if self.classifier is None else "tar.gz"

    @property
    def file_name(self) -> str:
        named = self.version if self.classifier is None else f"{self.version}-{self.classifier}"
        return f"{self.module}-{named}.{self.extension}"

    @property
    def path(self) -> Path:
        """Where the jar lies, relative to the folder of all jars."""
        return Path(self.folder) / self.file_name

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


SCHEMA_REGISTRY = Jar(
    "io.apicurio",
    "apicurio-registry-app",
    "2.6.13.Final",
    "3cda1b34aa020fb4ac4dd6a66018d757e81e437f97e20a1f92d366b70091c6ba",
    "schema_registry",
    classifier="all",
)


def spark_jars(s3: bool) -> tuple[Jar, ...]:
    """The jars of the Spark class path; the AWS bundle only for a warehouse in S3."""
    return (ICEBERG, POSTGRES_DRIVER, ICEBERG_AWS) if s3 else (ICEBERG, POSTGRES_DRIVER)


def required_jars(*, s3: bool, spark: bool, avro: bool) -> tuple[Jar, ...]:
    """Every jar of the stack: Kafka's and Debezium's, Spark's where that is to run, the Avro converter's and the schema registry
    where records are that."""
    locked = locked_jars(LOCK_FILE.read_text())
    kept = (*locked, SCHEMA_REGISTRY) if avro else tuple(jar for jar in locked if jar.folder != CONVERTER_FOLDER)
    return (*(spark_jars(s3) if spark else ()), *kept)


def locked_jars(text: str) -> tuple[Jar, ...]:
    """The jars of a lock file's text; lines that begin with # are remarks."""
    jars = []
    for line in text.splitlines():
        if line and not line.startswith("#"):
            folder, coordinates, sha256 = line.split()
            organisation, module, version = coordinates.split(":")
            jars.append(Jar(organisation, module, version, sha256, folder))
    return tuple(jars)


def missing_jars(folder: Path, jars: Iterable[Jar]) -> list[Jar]:
    """Those of `jars` that are not in `folder` with the expected content."""
    return [jar for jar in jars if not _is_intact(folder / jar.path, jar)]


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
        # Folder by folder: two folders may hold the same module in different versions.
        for target, group in groupby(sorted(missing, key=lambda jar: jar.folder), key=lambda jar: jar.folder):
            (folder / target).mkdir(parents=True, exist_ok=True)
            _fetch_folder(folder, work, java, list(group))
        shutil.rmtree(work)
        return missing


def ivy_module(jars: Iterable[Jar]) -> str:
    """The Ivy file that asks for exactly these jars."""
    dependencies = "\n".join(
        f'    <dependency org="{jar.organisation}" name="{jar.module}" rev="{jar.version}" '
        f'conf="default->master" transitive="false"{_artifact(jar)}'
        for jar in jars
    )
    return (
        '<ivy-module version="2.0" xmlns:m="http://ant.apache.org/ivy/maven">\n'
        '  <info organisation="finlake" module="jars"/>\n'
        '  <configurations><conf name="default"/></configurations>\n'
        f"  <dependencies>\n{dependencies}\n  </dependencies>\n"
        "</ivy-module>\n"
    )


def _artifact(jar: Jar) -> str:
    if jar.classifier is None:
        return "/>"
    return (
        f'><artifact name="{jar.module}" type="{jar.extension}" ext="{jar.extension}" m:classifier="{jar.classifier}"/>'
        "</dependency>"
    )


def run_ivy(work: Path, java: Java, module: str, pattern: str) -> subprocess.CompletedProcess[str]:
    """Let Ivy retrieve what the Ivy file `module` asks for into `work`, each file as `pattern` says."""
    (work / "ivy.xml").write_text(module)
    ivy = next((spark_home() / "jars").glob("ivy-*.jar"))
    command = [
        *(str(java.executable), *java.options, "-jar", str(ivy)),
        *("-ivy", "ivy.xml", "-cache", "cache", "-retrieve", pattern),
    ]
    return subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)


def spark_home() -> Path:
    """Folder of the Spark distribution inside the pyspark wheel."""
    import pyspark

    return Path(pyspark.__path__[0])


def some_names(names: list[str]) -> str:
    """The names as words of a sentence, the first three when there are many."""
    return ", ".join(names) if len(names) <= 3 else f"{', '.join(names[:3])} and {len(names) - 3} more"


def _fetch_folder(folder: Path, work: Path, java: Java, jars: list[Jar]) -> None:
    _retrieve(work, java, jars)
    for jar in jars:
        fetched = work / "lib" / jar.file_name
        if not _is_intact(fetched, jar):
            shutil.rmtree(work)
            raise StackError(
                f"{jar.coordinates} arrived with another content than finlake was built with "
                f"(expected SHA-256 {jar.sha256}); check the proxy or mirror, then run `finlake up` again"
            )
        fetched.replace(folder / jar.path)


def _retrieve(work: Path, java: Java, jars: list[Jar]) -> None:
    answer = run_ivy(work, java, ivy_module(jars), "lib/[artifact]-[revision](-[classifier]).[ext]")
    if answer.returncode != 0 or not all((work / "lib" / jar.file_name).is_file() for jar in jars):
        (work / "ivy.log").write_text(answer.stdout + answer.stderr)
        raise StackError(
            f"cannot download {some_names([jar.coordinates for jar in jars])} from Maven Central "
            f"(see {work / 'ivy.log'}); check the network, set a proxy in JAVA_TOOL_OPTIONS, or put the files "
            f"{some_names([jar.file_name for jar in jars])} into {work.parent / jars[0].folder}"
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
