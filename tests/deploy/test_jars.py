import hashlib
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from deploy.local.errors import StackError
from deploy.local.jars import (
    CONVERTER_FOLDER,
    DEBEZIUM_FOLDER,
    KAFKA_FOLDER,
    LOCK_FILE,
    SCHEMA_REGISTRY,
    Jar,
    fetch_jars,
    ivy_module,
    locked_jars,
    missing_jars,
    required_jars,
    spark_home,
    spark_jars,
)
from deploy.local.java import Java
from deploy.local.lock_jars import MODULES

CONTENT = b"not really a jar"
JAR = Jar("org.example", "thing", "1.0", hashlib.sha256(CONTENT).hexdigest())
NO_JAVA = Java(Path("/nowhere"), 17, ())


def test_a_jar_with_the_pinned_content_is_not_fetched_again(tmp_path: Path) -> None:
    (tmp_path / JAR.file_name).write_bytes(CONTENT)
    assert fetch_jars(tmp_path, [JAR], NO_JAVA) == []


def test_a_truncated_jar_counts_as_missing(tmp_path: Path) -> None:
    (tmp_path / JAR.file_name).write_bytes(CONTENT[:-1])
    assert missing_jars(tmp_path, [JAR]) == [JAR]


def test_a_failing_download_tells_which_file_to_put_where(tmp_path: Path) -> None:
    folder = tmp_path / "my jars"
    java = fake_java(tmp_path, "exit 1")
    with pytest.raises(StackError, match=r"cannot download org.example:thing:1.0 .*put the files thing-1.0.jar into"):
        fetch_jars(folder, [JAR], java)
    assert missing_jars(folder, [JAR]) == [JAR]


def test_a_download_with_other_content_is_refused(tmp_path: Path) -> None:
    java = fake_java(tmp_path, "mkdir -p lib && echo other > lib/thing-1.0.jar")
    with pytest.raises(StackError, match="arrived with another content"):
        fetch_jars(tmp_path / "jars", [JAR], java)
    assert not (tmp_path / "jars" / JAR.file_name).exists()


def test_a_good_download_lands_and_leaves_no_scratch_files(tmp_path: Path) -> None:
    java = fake_java(tmp_path, f"mkdir -p lib && printf %s '{CONTENT.decode()}' > lib/thing-1.0.jar")
    assert fetch_jars(tmp_path / "jars", [JAR], java) == [JAR]
    assert missing_jars(tmp_path / "jars", [JAR]) == []
    assert not (tmp_path / "jars" / ".fetching").exists()


def test_jars_of_two_folders_land_in_theirs_also_in_two_versions(tmp_path: Path) -> None:
    digest = hashlib.sha256(b"x").hexdigest()
    jars = [Jar("org.example", "thing", version, digest, folder) for version, folder in (("1", "."), ("2", "a/b"))]
    # What Ivy does: it makes a file for each dependency.
    java = fake_java(
        tmp_path,
        'mkdir -p lib; sed -n \'s/.*name="\\([^"]*\\)" rev="\\([^"]*\\)".*/\\1-\\2.jar/p\' ivy.xml'
        " | while read name; do printf x > lib/$name; done",
    )
    assert fetch_jars(tmp_path / "jars", jars, java) == jars
    assert (tmp_path / "jars" / "thing-1.jar").is_file()
    assert (tmp_path / "jars" / "a" / "b" / "thing-2.jar").is_file()


def test_after_an_interrupted_download_only_the_rest_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "kafka").mkdir()
    jars = [Jar("org.example", name, "1", hashlib.sha256(b"x").hexdigest(), "kafka") for name in ("one", "two")]
    (tmp_path / jars[0].path).write_bytes(b"x")
    java = fake_java(tmp_path, "grep -q 'name=\"one\"' ivy.xml && exit 1; mkdir -p lib && printf x > lib/two-1.jar")
    assert fetch_jars(tmp_path, jars, java) == jars[1:]


def test_the_lock_file_names_each_jar_once_with_its_digest() -> None:
    jars = locked_jars(LOCK_FILE.read_text())
    assert len({jar.path for jar in jars}) == len(jars) > 90
    assert all(re.fullmatch("[0-9a-f]{64}", jar.sha256) for jar in jars)
    assert {jar.folder for jar in jars} == {KAFKA_FOLDER, DEBEZIUM_FOLDER, CONVERTER_FOLDER}


def test_the_lock_file_holds_the_versions_that_are_asked_for() -> None:
    locked = {(jar.folder, jar.organisation, jar.module, jar.version) for jar in locked_jars(LOCK_FILE.read_text())}
    asked = {(folder, *module) for folder, modules in MODULES.items() for module in modules}
    assert asked <= locked


def test_the_plugin_brings_no_jar_that_the_worker_has() -> None:
    jars = locked_jars(LOCK_FILE.read_text())
    of_worker = {jar.coordinates for jar in jars if jar.folder == KAFKA_FOLDER}
    of_plugin = {jar.coordinates for jar in jars if jar.folder == DEBEZIUM_FOLDER}
    assert not of_worker & of_plugin
    assert not [name for name in of_plugin if "kafka-clients" in name or "connect-api" in name or "slf4j" in name]


def test_the_converter_brings_no_module_that_is_on_the_workers_class_path_in_another_version() -> None:
    jars = locked_jars(LOCK_FILE.read_text())
    modules = [jar.module for jar in jars if jar.folder in (KAFKA_FOLDER, CONVERTER_FOLDER)]
    assert len(set(modules)) == len(modules)


def test_avro_alone_needs_the_converter_and_the_registry() -> None:
    more = set(required_jars(s3=False, spark=True, avro=True)) - set(required_jars(s3=False, spark=True, avro=False))
    assert {jar.folder for jar in more} == {CONVERTER_FOLDER, SCHEMA_REGISTRY.folder}


def test_an_archive_is_asked_for_by_its_classifier() -> None:
    [dependency] = ElementTree.fromstring(ivy_module([SCHEMA_REGISTRY])).findall("dependencies/dependency")
    [artifact] = dependency.findall("artifact")
    assert (artifact.get("ext"), artifact.get("{http://ant.apache.org/ivy/maven}classifier")) == ("tar.gz", "all")
    assert SCHEMA_REGISTRY.file_name == f"apicurio-registry-app-{SCHEMA_REGISTRY.version}-all.tar.gz"


def test_ivy_is_asked_for_exactly_the_missing_jars() -> None:
    dependencies = ElementTree.fromstring(ivy_module(spark_jars(s3=True))).findall("dependencies/dependency")
    asked = [(each.get("org"), each.get("name"), each.get("rev"), each.get("transitive")) for each in dependencies]
    assert asked == [(jar.organisation, jar.module, jar.version, "false") for jar in spark_jars(s3=True)]


def test_the_aws_bundle_is_needed_for_s3_only() -> None:
    assert {jar.module for jar in spark_jars(s3=True)} - {jar.module for jar in spark_jars(s3=False)} == {"iceberg-aws-bundle"}


def test_pyspark_brings_the_ivy_that_fetches() -> None:
    assert list((spark_home() / "jars").glob("ivy-*.jar"))


def fake_java(folder: Path, script: str) -> Java:
    """A runtime whose `java` is this shell script."""
    executable = folder / "java" / "bin" / "java"
    executable.parent.mkdir(parents=True)
    executable.write_text(f"#!/bin/sh\n{script}\n")
    executable.chmod(0o755)
    return Java(folder / "java", 17, ())
