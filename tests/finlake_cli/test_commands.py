import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy.local.doctor import examine
from deploy.local.errors import StackError
from deploy.local.layout import Layout
from deploy.local.service import StackContext
from deploy.local.services import SERVICES, default_ports, left_out
from deploy.local.settings import StackSettings
from deploy.local.stack import LocalStack, ServiceStatus, State
from deploy.local.supervision import Supervisor
from finlake_cli.main import app, one_line
from finlake_cli.stack_commands import where_finlake_is
from finlake_settings.checkout import CHECKOUT


def finlake(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "finlake_cli.main", *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
    )


def test_an_error_is_one_line_without_traceback(tmp_path: Path) -> None:
    answer = finlake("logs", "cassandra", "--home", str(tmp_path))
    assert answer.returncode == 1
    assert answer.stdout == ""
    assert answer.stderr.count("\n") == 1
    assert answer.stderr.startswith("finlake: no service is named cassandra; there are postgres")


def test_the_origin_of_an_error_is_shown_on_request(tmp_path: Path) -> None:
    assert "Traceback" in finlake("--traceback", "logs", "cassandra", "--home", str(tmp_path)).stderr


def test_an_error_of_another_library_tells_its_kind() -> None:
    assert one_line(KeyError("x")).startswith("KeyError: 'x' (add --traceback")
    assert one_line(StackError("the port\n is taken")) == "the port is taken"


def test_help_is_shown_without_loading_an_engine() -> None:
    script = (
        "import sys; from finlake_cli.main import app\n"
        "heavy = {'dagster', 'pyspark', 'pyiceberg', 'pandas', 'polars', 'pyarrow', 'psycopg', 'httpx', 'rich.table'}\n"
        "print(*(heavy & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True, cwd=CHECKOUT)
    assert (answer.stdout, answer.stderr) == ("\n", "")


def test_status_of_a_stopped_stack_fails_and_names_every_service(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["status", "--home", str(tmp_path)])
    assert result.exit_code == 1
    unneeded = left_out(StackContext(Layout(tmp_path, tmp_path), StackSettings(default_ports())))
    assert result.stdout.count("stopped") == len(SERVICES) - len(unneeded)
    assert [name for name in unneeded if name not in result.stdout] == []


def test_status_names_what_the_settings_leave_out_and_why(tmp_path: Path) -> None:
    live = {"FINLAKE_SOURCES": "live"}
    lines = CliRunner().invoke(app, ["status", "--home", str(tmp_path)], env=live).stdout.splitlines()
    assert [line for line in lines if "left out" in line and "trade_feed" in line and "FINNHUB_TOKEN_FILE" in line]


def test_down_is_safe_when_nothing_runs(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["down", "--home", str(tmp_path)])
    assert result.exit_code == 0
    assert result.stdout == "finlake is down\n"


def test_doctor_names_what_is_missing_and_how_to_mend_it(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["doctor", "--home", str(tmp_path)])
    assert result.exit_code == 1
    wrong = [line for line in result.stdout.splitlines() if line.startswith("wrong")]
    assert any("jars" in line and "make install" in line for line in wrong)


def test_doctor_finds_a_dagster_url_without_its_driver_and_an_open_password_file(tmp_path: Path) -> None:
    (tmp_path / "dagster").mkdir()
    (tmp_path / "dagster" / "dagster.yaml").write_text("storage: {postgres: {postgres_url: postgresql://x}}")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "lake.password").write_text("x")
    (tmp_path / "secrets" / "lake.password").chmod(0o644)
    lines = CliRunner().invoke(app, ["doctor", "--home", str(tmp_path)]).stdout.splitlines()
    assert any(line.startswith("wrong Dagster storage") for line in lines)
    assert any(line.startswith("wrong password files") and "chmod 600" in line for line in lines)


@pytest.mark.parametrize(
    ("states", "fine", "said"),
    [
        ({}, True, "3 of 3 running"),
        (
            {"kafka": "stopped", "clickhouse": "starting"},
            False,
            "1 of 3 running; not running: kafka (stopped), clickhouse (starting)",
        ),
    ],
)
def test_doctor_finds_a_stack_wrong_of_which_a_part_does_not_run(
    states: dict[str, State], fine: bool, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = [
        *(ServiceStatus(name, states.get(name, "running"), None, None, "") for name in ("postgres", "kafka", "clickhouse")),
        ServiceStatus("spark_connect", "left out", None, None, "the lake is computed without it"),
    ]
    monkeypatch.setattr(LocalStack, "status", lambda _: entries)
    monkeypatch.setattr(Supervisor, "is_running", lambda _: True)
    [finding] = [finding for finding in examine(LocalStack(tmp_path)) if finding.subject == "services"]
    assert (finding.fine, finding.detail) == (fine, said)
    assert "`finlake up`" in finding.remedy


def test_doctor_finds_a_stack_that_is_down_fine(tmp_path: Path) -> None:
    [finding] = [finding for finding in examine(LocalStack(tmp_path)) if finding.subject == "services"]
    assert finding.fine


def test_the_state_folder_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FINLAKE_HOME", str(tmp_path / "elsewhere"))
    CliRunner().invoke(app, ["down"])
    assert (tmp_path / "elsewhere" / "run").is_dir()


def test_the_list_of_commands_cuts_no_description_in_80_columns() -> None:
    shown = CliRunner().invoke(app, ["--help"], terminal_width=80, env={"COLUMNS": "80"}).output
    assert "chaos" in shown
    assert [line for line in shown.partition("Commands:")[2].splitlines() if line.endswith("...")] == []


@pytest.mark.parametrize("on_path", [False, True])
@pytest.mark.parametrize("is_installed", [False, True])
def test_a_shell_that_does_not_find_the_command_is_told_where_it_is(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    on_path: bool,
    is_installed: bool,
) -> None:
    folder = tmp_path / "my environment"
    folder.mkdir()
    if is_installed:
        (folder / "finlake").touch(mode=0o755)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    monkeypatch.setenv("PATH", str(folder) if on_path else "/nowhere")
    hint = where_finlake_is()
    assert (hint is not None) is (is_installed and not on_path)
    assert hint is None or f"source '{folder}/activate'" in hint
