"""A secret that cannot be read is told by its service, its file, the reason and the next step, whoever needs it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from finlake_resources.kafka import KafkaTopics
from finlake_resources.secret_files import SecretUnreadable, secret_of
from finlake_resources.spark_jobs import SparkJobs


def jobs(password: Path, token: Path) -> SparkJobs:
    return SparkJobs(
        catalog_uri="postgresql+psycopg2://lake@127.0.0.1:1/lake", catalog_password_file=str(password), warehouse="file:///-",
        spark_remote="sc://127.0.0.1:1", spark_token_file=str(token))


ASKED: list[tuple[str, Callable[[Path, Path], object]]] = [
    ("kafka", lambda missing, _: KafkaTopics(bootstrap="127.0.0.1:1", password_file=str(missing)).watermarks("a_topic")),
    ("postgres", lambda missing, there: jobs(missing, there).newest("silver.prices_daily")),
    ("spark_connect", lambda missing, there: jobs(there, missing).newest("silver.prices_daily")),
]


@pytest.mark.parametrize(("service", "ask"), ASKED, ids=[service for service, _ in ASKED])
def test_a_missing_secret_is_told_with_its_file_and_what_to_do(
    service: str, ask: Callable[[Path, Path], object], tmp_path: Path,
) -> None:
    there = tmp_path / "there"
    there.write_text("secret\n", encoding="utf-8")
    with pytest.raises(SecretUnreadable) as told:
        ask(tmp_path / "missing", there)
    assert told.value.service == service
    assert not told.value.passes
    for part in (service, str(tmp_path / "missing"), "No such file", "finlake up"):
        assert part in str(told.value)


@pytest.mark.parametrize(("content", "reason"), [(b" \n", "empty"), (b"\xff\xfe", "no text")])
def test_a_file_that_holds_no_secret_is_told_too_and_never_shown(tmp_path: Path, content: bytes, reason: str) -> None:
    file = tmp_path / "secret"
    file.write_bytes(content)
    with pytest.raises(SecretUnreadable, match=reason):
        secret_of("kafka", file)


def test_a_secret_is_read_without_its_line_end(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cret\n", encoding="utf-8")
    assert secret_of("kafka", tmp_path / "secret") == "s3cret"
