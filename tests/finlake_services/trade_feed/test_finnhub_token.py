"""The token: read when needed, told to nobody."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
import structlog

from finlake_clients.source_errors import ApiKeyNeededError
from finlake_services.trade_feed.finnhub_token import TokenFile


def test_a_new_token_in_the_file_is_used_at_once(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    token = TokenFile(file)
    assert token.read() == "first"
    file.write_text("second")
    assert token.read() == "second"


@pytest.mark.parametrize("content", [None, "", " \n"])
def test_without_a_token_the_error_names_the_file_and_what_to_do(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ApiKeyNeededError, match="finnhub.io/dashboard") as caught:
        TokenFile(file).read()
    assert str(file) in str(caught.value)


def test_no_form_of_the_token_gets_into_a_log_line(tmp_path: Path) -> None:
    file, out = tmp_path / "token", io.StringIO()
    file.write_text("se cret/42")
    token = TokenFile(file)
    token.read()
    log = structlog.wrap_logger(
        structlog.PrintLogger(out),
        processors=[structlog.processors.format_exc_info, token.redact, structlog.processors.JSONRenderer()],
    )
    try:
        raise OSError("cannot open wss://ws.finnhub.io?token=se+cret%2F42")
    except OSError as error:
        log.error("failed with se cret/42", reason=str(error), url="wss://x?token=se%20cret%2F42", exc_info=True)
    line = out.getvalue()
    assert json.loads(line)["reason"] == "cannot open wss://ws.finnhub.io?token=[token]"
    assert "cret" not in line


def test_lines_of_other_libraries_are_json_without_the_token_too(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a-secret")
    program = f"""
import logging, pathlib
from finlake_services.trade_feed.finnhub_token import TokenFile, log_without
token = TokenFile(pathlib.Path({str(tmp_path / "token")!r}))
log_without(token)
url = "wss://ws.finnhub.io?token=" + token.read()
logging.getLogger("websockets.client").debug("> GET %s", url)
try:
    raise OSError(url)
except OSError:
    logging.getLogger("asyncio").exception("lost %s", url)
"""
    answer = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert answer.stderr == ""
    (line,) = answer.stdout.splitlines()
    assert json.loads(line)["event"] == "lost wss://ws.finnhub.io?token=[token]"
    assert "a-secret" not in line
