from pathlib import Path

import pytest

from deploy.local.java import find_java, inspect, parse_settings

SETTINGS = """Property settings:
    java.home = /usr/lib/jvm/java 17 openjdk
    java.specification.version = 17
    java.version = 17.0.15
openjdk version "17.0.15" 2025-04-15
"""


def test_home_and_major_are_read_from_the_settings_text() -> None:
    java = parse_settings(SETTINGS)
    assert java is not None
    assert (java.home, java.major) == (Path("/usr/lib/jvm/java 17 openjdk"), 17)


def test_java_8_is_not_taken_for_java_1() -> None:
    java = parse_settings(SETTINGS.replace("version = 17", "version = 1.8"))
    assert java is None or java.major == 1


def test_a_program_that_is_no_java_is_not_taken_for_one() -> None:
    assert inspect(Path("/bin/true")) is None
    assert inspect(Path("/nowhere/java")) is None


def test_without_a_java_on_the_machine_the_packaged_one_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    java = find_java()
    assert java.major == 21
    assert inspect(java.executable) is not None


def test_a_java_of_another_version_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    executable = tmp_path / "bin" / "java"
    executable.parent.mkdir()
    executable.write_text(f"#!/bin/sh\ncat <<'E'\n{SETTINGS.replace('17', '25')}E\n")
    executable.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    found = inspect(executable)
    assert found is not None
    assert found.major == 25
    assert find_java().major in {17, 21}


def test_the_users_own_trust_store_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Djavax.net.ssl.trustStore=/my/store")
    assert find_java().options == ()
