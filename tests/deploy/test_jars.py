import hashlib
from pathlib import Path
from xml.etree import ElementTree

import pytest

from deploy.local.errors import StackError
from deploy.local.jars import Jar, fetch_jars, ivy_module, missing_jars, required_jars, spark_home
from deploy.local.java import Java

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


def test_ivy_is_asked_for_exactly_the_missing_jars() -> None:
    dependencies = ElementTree.fromstring(ivy_module(required_jars(s3=True))).findall("dependencies/dependency")
    asked = [(each.get("org"), each.get("name"), each.get("rev"), each.get("transitive")) for each in dependencies]
    assert asked == [(jar.organisation, jar.module, jar.version, "false") for jar in required_jars(s3=True)]


def test_the_aws_bundle_is_needed_for_s3_only() -> None:
    assert {jar.module for jar in required_jars(s3=True)} - {jar.module for jar in required_jars(s3=False)} == {
        "iceberg-aws-bundle"
    }


def test_pyspark_brings_the_ivy_that_fetches() -> None:
    assert list((spark_home() / "jars").glob("ivy-*.jar"))


def fake_java(folder: Path, script: str) -> Java:
    """A runtime whose `java` is this shell script."""
    executable = folder / "java" / "bin" / "java"
    executable.parent.mkdir(parents=True)
    executable.write_text(f"#!/bin/sh\n{script}\n")
    executable.chmod(0o755)
    return Java(folder / "java", 17, ())
