import stat
from pathlib import Path

from deploy.local.passwords import password_from, write_passfile, write_private


def test_a_password_is_generated_once_and_kept(tmp_path: Path) -> None:
    file = tmp_path / "secrets" / "lake.password"
    password = password_from(file)
    assert len(password) >= 32
    assert password_from(file) == password
    assert password_from(tmp_path / "other.password") != password


def test_secret_files_are_for_their_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "secrets" / "lake.password"
    password_from(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_a_file_that_was_readable_for_all_becomes_private(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("old")
    file.chmod(0o644)
    write_private(file, "new")
    assert file.read_text() == "new"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_passfile_has_a_line_for_each_role(tmp_path: Path) -> None:
    write_passfile(tmp_path / "pgpass", [("lake", "lake", "one"), ("market", "feed", "two")])
    assert (tmp_path / "pgpass").read_text() == "*:*:lake:lake:one\n*:*:market:feed:two\n"
