from pathlib import Path

from deploy.local.config_files import spark_properties
from deploy.local.java import Java, find_java
from deploy.local.layout import Layout
from deploy.local.services import default_ports
from deploy.local.settings import StackSettings
from deploy.local.spark_server import launcher_words, present_modules, server_command, without_absent_modules

COMMAND = ["java", "--add-modules=jdk.incubator.vector", "-cp", "a jar:b", "Main"]


def test_words_of_the_launcher_keep_their_spaces() -> None:
    assert launcher_words("\0\n" + "\0".join(COMMAND) + "\0") == COMMAND


def test_a_module_that_the_java_has_not_is_not_asked_for() -> None:
    assert without_absent_modules(COMMAND, {"java.base"}) == ["java", "-cp", "a jar:b", "Main"]
    assert without_absent_modules(COMMAND, {"java.base", "jdk.incubator.vector"}) == COMMAND


def test_a_runtime_tells_its_modules() -> None:
    assert "java.base" in present_modules(find_java())


def test_the_launcher_takes_every_option_of_the_jvm_whole_and_it_leaves_nothing_outside_the_state_folder(tmp_path: Path) -> None:
    found, home = find_java(), tmp_path / "my lake"
    java = Java(found.home, found.major, (*found.options, "-Da=b c"))
    layout = Layout(home, home / "jars")
    layout.spark_properties.parent.mkdir(parents=True)
    layout.spark_properties.write_text(spark_properties(layout, StackSettings(default_ports()), java, None, "token"))
    words = server_command(layout, java)
    assert {f"-Djava.io.tmpdir={home}/run/java", "-XX:-UsePerfData", "-Da=b c", "-Duser.timezone=UTC"} <= set(words)
