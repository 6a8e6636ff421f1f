import os
import shlex
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from deploy.local.errors import StackError
from deploy.local.layout import LONGEST_SOCKET_PATH, Layout
from finlake_settings.checkout import CHECKOUT


def test_a_home_with_spaces_is_fine() -> None:
    home = Path("/srv/my lake/état")
    assert Layout(home, home / "jars").record == home / "stack.json"


@pytest.mark.parametrize("character", list("%#?;:,\"'\\&\n"))
def test_a_path_that_configuration_files_cannot_carry_is_refused_by_name(character: str) -> None:
    home = Path(f"/srv/a{character}b")
    with pytest.raises(StackError, match="move it to a folder without these characters"):
        Layout(home, Path("/srv/jars"))


def test_a_path_that_is_no_text_is_refused_with_what_to_set() -> None:
    home = Path(os.fsdecode(b"/srv/h\xf6me"))
    with pytest.raises(StackError, match=r"/srv/h\\xf6me cannot be read in this locale.*; set LC_ALL=C.UTF-8"):
        Layout(home, Path("/srv/jars"))


def test_a_command_in_a_locale_that_cannot_read_the_home_says_so(tmp_path: Path) -> None:
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    answer = subprocess.run(
        [sys.executable, "-m", "finlake_cli.main", "status", "--home", str(tmp_path / "hö me ✓")],
        check=False,
        capture_output=True,
        env=os.environ | plain,
        cwd=CHECKOUT,
    )
    assert answer.returncode == 1
    said = answer.stderr.decode("ascii")
    assert "set LC_ALL=C.UTF-8" in said
    assert "UnicodeEncodeError" not in said


def test_the_command_for_a_log_names_the_home_as_a_shell_takes_it() -> None:
    home = Path("/srv/my lake/état")
    assert shlex.split(Layout(home, home).logs_command("kafka")) == ["finlake", "logs", "kafka", "--home", str(home)]


def test_jars_elsewhere_are_checked_too() -> None:
    with pytest.raises(StackError, match="/srv/a:b"):
        Layout(Path("/srv/home"), Path("/srv/a:b"))


def test_the_supervisor_socket_lies_in_the_state_folder() -> None:
    home = Path("/srv/home")
    assert Layout(home, home).supervisor_socket.is_relative_to(home)


def test_a_deep_state_folder_gets_a_socket_that_a_unix_socket_address_can_hold() -> None:
    deep, other = Path("/" + "d" * 200), Path("/" + "e" * 200)
    sockets = {Layout(home, home).supervisor_socket for home in (deep, other)}
    assert all(len(str(socket).encode()) <= LONGEST_SOCKET_PATH for socket in sockets)
    assert len(sockets) == 2


@pytest.mark.parametrize("depth", [1, 40, 66, 67, 68, 80, 200])
def test_sockets_among_temporary_files_have_addresses_that_can_be_held(depth: int) -> None:
    home = Path("/" + "d" * depth)
    folder = Layout(home, home).temporary
    # As multiprocessing and Dagster's code servers name theirs.
    assert all(len(str(folder / name).encode()) <= 107 for name in ("pymp-12345678/listener-12345678", "tmp12345678"))
    assert folder.is_relative_to(home) == (depth <= 66)


@pytest.mark.parametrize("depth", [1, 40, 54, 55, 56, 70, 200])
def test_sockets_of_sparks_python_workers_have_addresses_that_can_be_held(depth: int) -> None:
    home = Path("/" + "d" * depth)
    folder = Layout(home, home).spark_sockets
    assert len(str(folder / f".{uuid4()}.sock").encode()) <= 107
    assert folder.is_relative_to(home) == (depth <= 53)
