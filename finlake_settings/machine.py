"""What the machine's environment says beside finlake's settings: the variables of Java, and what child processes inherit."""

import os
from collections.abc import Mapping

from finlake_settings.variable_names import PREFIX

# Settings of other installations of the same engines would redirect ours.
FOREIGN_PREFIXES = (PREFIX, "DAGSTER_", "SPARK_", "PYSPARK_", "HADOOP_", "PG", "SUPERVISOR_")


def java_home_variable() -> str | None:
    """The Java that the machine names, None when it names none."""
    return os.environ.get("JAVA_HOME") or None


def java_options_variable() -> str:
    """JVM settings of the machine (proxy, trust store), which every JVM reads by itself."""
    return os.environ.get("JAVA_TOOL_OPTIONS", "")


def process_environment(own: Mapping[str, str]) -> dict[str, str]:
    """Environment for a stack's processes: the machine's, without other installations' settings, plus `own`."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_PREFIXES)}
    return inherited | dict(own)
