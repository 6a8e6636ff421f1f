from deploy.local.java import find_java
from deploy.local.spark_server import launcher_words, present_modules, without_absent_modules

COMMAND = ["java", "--add-modules=jdk.incubator.vector", "-cp", "a jar:b", "Main"]


def test_words_of_the_launcher_keep_their_spaces() -> None:
    assert launcher_words("\0\n" + "\0".join(COMMAND) + "\0") == COMMAND


def test_a_module_that_the_java_has_not_is_not_asked_for() -> None:
    assert without_absent_modules(COMMAND, {"java.base"}) == ["java", "-cp", "a jar:b", "Main"]
    assert without_absent_modules(COMMAND, {"java.base", "jdk.incubator.vector"}) == COMMAND


def test_a_runtime_tells_its_modules() -> None:
    assert "java.base" in present_modules(find_java())
