"""Over HTTP: every answer that is not data has its type, and the key stays secret."""

import hashlib
import logging
import traceback
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from finlake_clients import source_errors as errors
from finlake_clients.stooq.download import keyless_url
from finlake_clients.stooq.feed import StooqPrices

if TYPE_CHECKING:
    from tests.plugins.sample_server import SampleServer

pytest_plugins = ["tests.plugins.sample_server"]

KEY = "0123456789abcdef0123456789abcdef"
BAD_ANSWERS = [
    ("no_data", errors.NoDataError),
    ("limit", errors.LimitReachedError),
    ("limit_pl", errors.LimitReachedError),
    ("apikey", errors.ApiKeyNeededError),
    ("challenge", errors.ChallengePageError),
    ("denied", errors.AccessDeniedError),
    ("empty", errors.NotDataError),
    ("unknown_page", errors.NotDataError),
    ("echo", errors.NotDataError),
    ("cut", errors.CorruptFileError),
    ("http_503", errors.SourceUnavailableError),
]


def _prices(server: "SampleServer", drop_location: Path, apikey_file: str | None = None, attempts: int = 3) -> StooqPrices:
    return StooqPrices(
        drop_location=str(drop_location), base_url=server.url, apikey_file=apikey_file, attempts=attempts, backoff_seconds=0
    )


def test_a_download_is_the_vendors_bytes_with_their_origin(sample_server: "SampleServer", tmp_path: Path) -> None:
    before = datetime.now(UTC)
    file = _prices(sample_server, tmp_path).download("AAPL", "aapl.us", date(2018, 3, 27), date(2018, 3, 27))
    assert file.content == b"Date,Open,High,Low,Close,Volume\r\n2018-03-27,173.68,175.15,166.92,168.34,38962839\r\n"
    assert file.sha256 == hashlib.sha256(file.content).hexdigest()
    assert (file.ticker, file.source_kind) == ("AAPL", "http")
    assert file.source_name == f"{sample_server.url}/q/d/l/?s=aapl.us&i=d&d1=20180327&d2=20180327"
    assert before <= file.fetched_ts <= datetime.now(UTC)


@pytest.mark.parametrize(("fault", "expected"), BAD_ANSWERS)
def test_every_answer_that_is_not_data_raises_its_type(
    sample_server: "SampleServer", tmp_path: Path, fault: str, expected: type[errors.SourceError]
) -> None:
    sample_server.set_faults("stooq", {"aapl.us": fault})
    with pytest.raises(errors.SourceError) as raised:
        _prices(sample_server, tmp_path).download("AAPL", "aapl.us")
    assert type(raised.value) is expected
    assert sample_server.url in str(raised.value)
    assert raised.value.next_step in str(raised.value)


@pytest.mark.parametrize("fault", ["pl", "bom"])
def test_the_polish_header_and_a_byte_order_mark_are_data(sample_server: "SampleServer", tmp_path: Path, fault: str) -> None:
    sample_server.set_faults("stooq", {"aapl.us": fault})
    file = _prices(sample_server, tmp_path).download("AAPL", "aapl.us", date(2018, 3, 27))
    assert file.content.endswith(b"2018-03-27,173.68,175.15,166.92,168.34,38962839\r\n")


def test_a_server_failure_is_tried_again_and_a_refusal_is_not(sample_server: "SampleServer", tmp_path: Path) -> None:
    source = _prices(sample_server, tmp_path)
    sample_server.set_faults("stooq", {"aapl.us": {"kind": "http_503", "times": 2}})
    assert source.download("AAPL", "aapl.us", date(2018, 3, 27)).content.startswith(b"Date,")
    sample_server.set_faults("stooq", {"aapl.us": {"kind": "denied", "times": 1}})
    with pytest.raises(errors.AccessDeniedError):
        source.download("AAPL", "aapl.us")
    assert source.download("AAPL", "aapl.us", date(2018, 3, 27)).content.startswith(b"Date,")


def test_a_server_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    source = StooqPrices(drop_location=str(tmp_path), base_url="http://127.0.0.1:9", attempts=2, backoff_seconds=0)
    with pytest.raises(errors.SourceUnavailableError, match="ConnectError"):
        source.download("AAPL", "aapl.us")


def test_one_refused_symbol_means_the_run_is_refused_and_one_without_data_does_not(
    sample_server: "SampleServer", tmp_path: Path
) -> None:
    source = _prices(sample_server, tmp_path)
    with pytest.raises(errors.NoDataError) as no_data:
        source.download("BRK-B", "brk-b.us")
    assert not isinstance(no_data.value, errors.SourceRefusedError)
    for fault in ("limit", "apikey", "challenge", "denied"):
        sample_server.set_faults("stooq", {"ibm.us": fault})
        with pytest.raises(errors.SourceRefusedError):
            source.download("IBM", "ibm.us")


@pytest.mark.parametrize(("fault", "expected"), [(None, None), *BAD_ANSWERS])
def test_the_key_is_sent_and_is_in_no_log_error_or_result(
    sample_server: "SampleServer",
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    fault: str | None,
    expected: type[errors.SourceError] | None,
) -> None:
    caplog.set_level(logging.DEBUG)
    key_file = tmp_path / "apikey"
    key_file.write_text(f"{KEY}\n")
    source = _prices(sample_server, tmp_path, str(key_file), attempts=2)
    if fault is None or expected is None:
        assert KEY not in repr(source.download("AAPL", "aapl.us", date(2018, 3, 27)))
    else:
        sample_server.set_faults("stooq", {"aapl.us": fault})
        with pytest.raises(expected) as raised:
            source.download("AAPL", "aapl.us")
        assert KEY not in "".join(traceback.format_exception(raised.value))
    assert "apikey=***" in caplog.text
    assert KEY not in caplog.text


def test_a_server_that_is_not_there_does_not_bring_the_key_into_the_error(tmp_path: Path) -> None:
    key_file = tmp_path / "apikey"
    key_file.write_text(KEY)
    source = StooqPrices(
        drop_location=str(tmp_path),
        base_url="http://127.0.0.1:9",
        apikey_file=str(key_file),
        attempts=1,
    )
    with pytest.raises(errors.SourceUnavailableError) as raised:
        source.download("AAPL", "aapl.us")
    # The cause would hold the request, and the request the key.
    assert raised.value.__cause__ is None
    assert KEY not in "".join(traceback.format_exception(raised.value))


def test_a_key_file_that_is_not_there_asks_for_the_key(sample_server: "SampleServer", tmp_path: Path) -> None:
    with pytest.raises(errors.ApiKeyNeededError, match="FINLAKE_STOOQ_APIKEY_FILE"):
        _prices(sample_server, tmp_path, str(tmp_path / "missing")).download("AAPL", "aapl.us")


def test_the_url_without_a_key_names_code_and_range() -> None:
    assert keyless_url("https://stooq.com/", "brk-b.us", date(2020, 1, 2), None) == (
        "https://stooq.com/q/d/l/?s=brk-b.us&i=d&d1=20200102"
    )
    assert keyless_url("https://stooq.com", "^spx", None, None) == "https://stooq.com/q/d/l/?s=^spx&i=d"
