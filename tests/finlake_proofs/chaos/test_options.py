"""What `finlake chaos` waits for and tells before anything befalls the stack."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO

import pytest
from rich.console import Console
from typer.testing import CliRunner

from deploy.local.errors import StackError
from deploy.local.services import with_requirements
from finlake_cli.main import app
from finlake_cli.progress import dimmed
from finlake_proofs.chaos.plan import BATCH_DISKS, DISKS, Mix, archiving_targets, batch_targets, stream_targets
from finlake_proofs.chaos.run import Options


def test_without_dagster_spark_is_not_waited_for_and_nothing_befalls_it() -> None:
    options = Options(kills=200, seed=7, has_dagster=False, mix=Mix(disks=DISKS))
    assert options.services is not None
    brought_along = with_requirements(options.services, {"schema_registry"})
    assert {"sample_sources", *stream_targets()} - {"postgres_backend"} == {*brought_along}
    assert {*stream_targets(avro=True)} - {*stream_targets()} == {"schema_registry"}
    assert "spark_connect" not in with_requirements(options.services)
    assert archiving_targets() == ("spark_connect",)
    faults = options.plan
    assert {target for fault in faults for target in fault.targets} & {*batch_targets("spark")} == set()
    assert {fault.disk for fault in faults} == {None, *DISKS} - {*BATCH_DISKS}


def test_spark_is_befallen_where_it_computes_the_lake_alone() -> None:
    embedded, spark = Options(kills=200, seed=7), Options(kills=200, seed=7, engine="spark")
    assert {*spark.targets} - {*embedded.targets} == {"spark_connect"}
    assert {target for fault in embedded.plan for target in fault.targets} == {*embedded.targets}
    assert {fault.disk for fault in embedded.plan} == {None, *DISKS} - {"spark"}
    assert {fault.disk for fault in spark.plan} == {None, *DISKS}


@pytest.mark.parametrize("dagster", ["--dagster", "--no-dagster"])
def test_the_plan_is_told_before_the_stack_is_started(monkeypatch: pytest.MonkeyPatch, dagster: str) -> None:
    @contextmanager
    def does_not_start(*_: object, **__: object) -> Iterator[None]:
        raise StackError("it does not start")
        yield

    monkeypatch.setattr("finlake_proofs.bench.temporary_lake.temporary_stack", does_not_start)
    answer = CliRunner().invoke(app, ["chaos", "--kills", "12", "--seed", "7", dagster])
    assert isinstance(answer.exception, StackError)
    assert "seed 7:" in answer.stdout
    kills = [len(re.sub(".* kill ", "", line).split(" and ")) for line in answer.stdout.splitlines() if " kill " in line]
    assert sum(kills) == 12


def test_progress_reaches_a_file_line_by_line() -> None:
    class File(StringIO):
        flushed = ""

        def flush(self) -> None:
            self.flushed = self.getvalue()

    file = File()
    report = dimmed(Console(file=file))
    for number in range(3):
        report(f"line {number}")
        assert file.flushed.splitlines()[-1] == f"line {number}"
