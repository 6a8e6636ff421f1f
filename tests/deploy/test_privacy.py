"""What another account of the machine finds in a state folder, and whose Postgres is whose."""

import os
import pwd
import tempfile
from pathlib import Path

import pytest

from deploy.local import host, postgres
from deploy.local.errors import StackError
from deploy.local.layout import Layout
from deploy.local.privacy import make_private, private_folders

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another account")


def test_folders_that_an_earlier_finlake_left_open_are_shut(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "home", tmp_path / "jars")
    for folder in (layout.warehouse, layout.logs):
        folder.mkdir(parents=True)
        folder.chmod(0o755)
    make_private(layout.home, private_folders(layout))
    modes = {folder.name: folder.stat().st_mode & 0o777 for folder in private_folders(layout)}
    assert set(modes.values()) == {0o700}
    assert {"warehouse", "stooq_drop", "logs", "dagster", "spark", "run", "secrets", "kafka", "clickhouse"} <= modes.keys()
    assert layout.home.stat().st_mode & 0o777 == Path(tmp_path / "home").stat().st_mode & 0o777


@pytest.mark.parametrize("depth", [1, 60, 70, 200])
def test_a_folder_outside_the_state_folder_is_looked_at_before_what_lies_in_it(depth: int) -> None:
    home = Path("/" + "d" * depth)
    folders = private_folders(Layout(home, home))
    outside = [place for place, folder in enumerate(folders) if not folder.is_relative_to(home)]
    assert all(folders[place].parent in (*folders[:place], Path(tempfile.gettempdir())) for place in outside)


@as_root
def test_a_folder_that_belongs_to_another_account_is_left_to_it(tmp_path: Path) -> None:
    shared = tmp_path / "drop"
    shared.mkdir()
    shared.chmod(0o755)
    os.chown(shared, pwd.getpwnam("nobody").pw_uid, -1)
    make_private(tmp_path, [shared])
    assert shared.stat().st_mode & 0o777 == 0o755
    # Outside the state folder anybody may have made it, to look at what is put into it.
    with pytest.raises(StackError, match="belongs to another user"):
        make_private(tmp_path / "home", [shared])


@as_root
def test_a_cluster_of_another_account_is_handed_over_and_no_link_in_it_is_followed(tmp_path: Path) -> None:
    cluster, elsewhere = tmp_path / "postgres", tmp_path / "not theirs"
    (cluster / "data" / "base").mkdir(parents=True)
    (cluster / "data" / "base" / "1").write_text("rows")
    elsewhere.write_text("roots own")
    (cluster / "data" / "trap").symlink_to(elsewhere)
    nobody = pwd.getpwnam("nobody")
    postgres.hand_over(cluster, nobody.pw_name)
    assert {path.lstat().st_uid for path in (cluster, *cluster.rglob("*"))} == {nobody.pw_uid}
    assert elsewhere.stat().st_uid == 0


@as_root
def test_a_cluster_is_handed_over_wholly_where_the_first_try_was_interrupted(tmp_path: Path) -> None:
    cluster = tmp_path / "postgres"
    (cluster / "data").mkdir(parents=True)
    nobody = pwd.getpwnam("nobody")
    os.chown(cluster / "data", nobody.pw_uid, nobody.pw_gid)
    (cluster / "data" / "late").write_text("rows")
    postgres.hand_over(cluster, nobody.pw_name)
    assert (cluster / "data" / "late").stat().st_uid == nobody.pw_uid


def test_an_account_that_cannot_be_made_is_told_with_the_command_that_makes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "postgres_account", lambda: None)
    monkeypatch.setattr(host, "ACCOUNT_ATTEMPTS", 1)
    monkeypatch.setattr(host, "MAKE_ACCOUNT", ("no-such-program", "--system", "finlake_postgres"))
    with pytest.raises(StackError, match="useradd is not installed.*`no-such-program --system finlake_postgres`"):
        host.make_postgres_account()
