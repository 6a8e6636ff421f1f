"""Sample prices: the vendor's form, the adjustment, the restatements, the drop files."""

import io
import re
import zipfile
from datetime import date
from pathlib import Path

import pytest

from finlake_clients.calendar import TradingCalendar
from finlake_services.sample_sources import drop, prices
from finlake_settings.processes import DagsterSettings
from finlake_settings.reading import settings_from


@pytest.mark.parametrize("ticker", prices.TICKERS)
def test_a_download_has_the_vendors_form(ticker: str) -> None:
    body = prices.csv_body(prices.history(ticker))
    lines = body.split(b"\r\n")
    assert lines[0] == b"Date,Open,High,Low,Close,Volume"
    assert lines[-1] == b""
    assert body.count(b"\n") == body.count(b"\r\n") == len(lines) - 1
    dates = [line.split(b",")[0] for line in lines[1:-1]]
    assert dates == sorted(set(dates))
    for line in lines[1:-1]:
        assert re.fullmatch(rb"\d{4}-\d\d-\d\d(,\d+(\.\d+)?){4},\d+(\.\d{1,4})?", line), line
        _, first, high, low, last, _ = line.split(b",")
        assert float(low) <= min(float(first), float(last)) <= max(float(first), float(last)) <= float(high)


def test_known_bars_are_the_published_ones() -> None:
    assert prices.csv_body(prices.between(prices.history("AAPL"), date(2018, 3, 27), None)).endswith(
        b"2018-03-27,173.68,175.15,166.92,168.34,38962839\r\n"
    )
    ibm = prices.between(prices.history("IBM"), date(2000, 3, 1), date(2000, 3, 1))[0]
    assert ibm.close == pytest.approx(73.667718762847)
    assert ibm.open == pytest.approx(102.0 * 73.667718762847 / 100.25)
    assert ibm.volume == pytest.approx(10807800 * 100.25 / 73.667718762847)


def test_price_times_volume_does_not_depend_on_the_adjustment() -> None:
    first = prices.history("AAPL")[0]
    assert first.close * first.volume == pytest.approx(28.75 * 2093900)


def _ratios(kind: str) -> list[float]:
    bars = prices.history("MSFT")
    return [round(new.close / old.close, 9) for new, old in zip(prices.restated(bars, kind), bars, strict=True)]


def test_restatements_have_the_ratios_they_are_named_after() -> None:
    assert set(_ratios("split")) == {0.25}
    assert _ratios("dividend")[-11:-9] == [0.999065, 1.0]
    assert len(set(_ratios("dividend"))) == 2
    assert len(set(_ratios("uneven"))) == 5
    assert _ratios("uneven")[0] == pytest.approx(0.999065**4)
    assert len(set(_ratios("broken"))) > 1000


def test_a_restatement_scales_volume_the_other_way() -> None:
    bars = prices.history("MSFT")
    assert prices.restated(bars, "split")[0].volume == pytest.approx(bars[0].volume * 4)


def test_the_drop_holds_one_file_a_ticker_and_no_partial_files(tmp_path: Path) -> None:
    paths = drop.write_drop(tmp_path, ("AAPL", "IBM"), end=date(2012, 12, 31))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["aapl_us_d.csv", "ibm_us_d.csv"]
    assert paths[0].read_bytes().splitlines()[-1].startswith(b"2012-12-31,")


def test_the_bulk_archive_has_the_vendors_layout() -> None:
    with zipfile.ZipFile(io.BytesIO(drop.bulk_archive(["AAPL", "IBM"]))) as archive:
        assert archive.namelist() == [
            "data\\daily\\us\\nasdaq stocks\\2\\aapl.us.txt",
            "data/daily/us/nyse stocks/1/ibm.us.txt",
            "data/daily/us/nasdaq stocks/2/empty.us.txt",
        ]
        lines = archive.read("data/daily/us/nyse stocks/1/ibm.us.txt").split(b"\r\n")
        assert lines[0] == b"<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>"
        assert lines[1] == b"IBM.US,D,20000301,000000,74.9537,77.5256,73.5281,73.6677,14707689.7208,0"
        assert archive.read("data/daily/us/nasdaq stocks/2/empty.us.txt") == b""
    assert drop.bulk_archive(["AAPL"]) == drop.bulk_archive(["AAPL"])


def test_the_sessions_without_any_sample_bar_are_those_that_the_settings_know() -> None:
    settings = settings_from(DagsterSettings, {"FINLAKE_SOURCES": "sample"})
    assert settings.sources_end_date is not None
    sessions = TradingCalendar().sessions(settings.history_start, settings.sources_end_date)
    with_bars = {bar.session_date for ticker in prices.TICKERS for bar in prices.history(ticker)}
    assert set(sessions) - with_bars == settings.sources_holes
    assert settings_from(DagsterSettings, {"FINLAKE_SOURCES": "live"}).sources_holes == frozenset()
