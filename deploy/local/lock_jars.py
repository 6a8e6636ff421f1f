"""Write `kafka-jars.lock` again: `python -m deploy.local.lock_jars`, after a version below has been changed.

Ivy finds what the named modules need at run time, with the checksums of Maven Central; the lock file then holds every
jar with its SHA-256 digest, and nothing else is ever fetched. Review the difference before committing it.
"""

import hashlib
import tempfile
from pathlib import Path

from deploy.local.errors import StackError
from deploy.local.jars import CONVERTER_FOLDER, DEBEZIUM_FOLDER, KAFKA_FOLDER, LOCK_FILE, SCHEMA_REGISTRY, Jar, run_ivy
from deploy.local.java import find_java

KAFKA_VERSION = "4.3.1"
# Kafka is built against slf4j 1.7, hence the binding with this name.
LOG4J_VERSION = "2.25.4"
DEBEZIUM_VERSION = "3.7.0.Final"

MODULES = {
    KAFKA_FOLDER: (
        *(("org.apache.kafka", name, KAFKA_VERSION) for name in ("kafka_2.13", "connect-runtime", "connect-json")),
        *(("org.apache.logging.log4j", name, LOG4J_VERSION) for name in ("log4j-core", "log4j-slf4j-impl")),
    ),
    DEBEZIUM_FOLDER: (("io.debezium", "debezium-connector-postgres", DEBEZIUM_VERSION),),
    CONVERTER_FOLDER: (("io.apicurio", "apicurio-registry-utils-converter", SCHEMA_REGISTRY.version),),
}
HEADER = "# folder organisation:module:version sha256; made by `python -m deploy.local.lock_jars`\n"


def main() -> None:
    """Resolve the modules and write the lock file. Raises StackError when Ivy cannot."""
    jars = [jar for folder, modules in MODULES.items() for jar in _resolved(folder, modules)]
    of_worker = [jar for jar in jars if jar.folder == KAFKA_FOLDER]
    worker_has = {jar.coordinates for jar in of_worker}
    # By name alone: an artifact that moved to another organisation has the same classes.
    modules_of_worker = {jar.module for jar in of_worker}
    # A plugin finds in the worker what it does not bring along; a class path holds one version of each module.
    kept = of_worker + [
        jar
        for jar in jars
        if (jar.folder == DEBEZIUM_FOLDER and jar.coordinates not in worker_has)
        or (jar.folder == CONVERTER_FOLDER and jar.module not in modules_of_worker)
    ]
    LOCK_FILE.write_text(HEADER + "".join(f"{jar.folder} {jar.coordinates} {jar.sha256}\n" for jar in kept))
    print(f"{LOCK_FILE}: {len(kept)} jars")


def _resolved(folder: str, modules: tuple[tuple[str, str, str], ...]) -> list[Jar]:
    dependencies = "".join(
        f'<dependency org="{organisation}" name="{name}" rev="{version}" conf="default->default(runtime)"/>'
        for organisation, name, version in modules
    )
    module = (
        '<ivy-module version="2.0"><info organisation="finlake" module="lock"/>'
        f'<configurations><conf name="default"/></configurations><dependencies>{dependencies}</dependencies></ivy-module>'
    )
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        answer = run_ivy(work, find_java(), module, "lib/[organisation]/[artifact]/[revision]/jar.[ext]")
        if answer.returncode != 0:
            raise StackError(f"Ivy could not resolve {folder}: {(answer.stdout + answer.stderr)[-2000:]}")
        jars = []
        for file in (work / "lib").rglob("jar.jar"):
            organisation, name, version = file.parts[-4:-1]
            jars.append(Jar(organisation, name, version, hashlib.sha256(file.read_bytes()).hexdigest(), folder))
        return sorted(jars, key=lambda jar: jar.coordinates)


if __name__ == "__main__":
    main()
