"""gold.indicators: published answers, an independent loop, and the same bits however history is cut."""

import csv
import json
import math
import statistics
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark.contracts.gold import INDICATORS
from spark.transforms.gold import indicators
from spark.transforms.polars_schema import polars_schema
from spark.transforms.resume import StateGapError

Bars = Callable[..., pl.DataFrame]
Same = Callable[[pl.DataFrame, pl.DataFrame], None]
SEEDS = st.integers(0, 10_000)


@pytest.fixture(scope="module")
def published(indicator_answers: Path) -> pl.DataFrame:
    """Indicators of the 502 bars the published answers are for."""
    quotes = pl.read_csv(indicator_answers / "quotes_default.csv", try_parse_dates=True)
    return indicators.compute(
        quotes.select(
            ticker=pl.lit("TEST"),
            session_date="date",
            open_usd="open",
            high_usd="high",
            low_usd="low",
            close_usd="close",
            volume_shares=pl.col("volume").cast(pl.Float64),
        ),
        None,
    )


@pytest.mark.parametrize(
    ("file", "field", "column"),
    [
        ("sma", "sma", "sma_20_usd"),
        ("ema", "ema", "ema_20_usd"),
        ("rsi", "rsi", "rsi_14"),
        ("macd", "macd", "macd_usd"),
        ("macd", "signal", "macd_signal_usd"),
        ("macd", "histogram", "macd_hist_usd"),
        ("macd", "fastEma", "ema_12_usd"),
        ("macd", "slowEma", "ema_26_usd"),
    ],
)
def test_values_are_the_published_ones(
    published: pl.DataFrame,
    indicator_answers: Path,
    file: str,
    field: str,
    column: str,
) -> None:
    answers = [row[field] for row in json.loads((indicator_answers / f"{file}.standard.json").read_text())]
    computed = published[column].to_list()
    assert [value is None for value in computed] == [value is None for value in answers]
    assert [value for value in computed if value is not None] == pytest.approx(
        [value for value in answers if value is not None], rel=1e-9, abs=1e-9
    )


def test_rsi_is_stockcharts_to_every_printed_digit(indicator_answers: Path, bars_of_closes: Bars) -> None:
    rows = list(csv.DictReader((indicator_answers / "stockcharts_rsi_known_answer.csv").read_text().splitlines()))
    rsi = indicators.compute(bars_of_closes([float(row["close"]) for row in rows]), None)["rsi_14"].to_list()
    printed = [row["rsi14_stockcharts_published"] for row in rows]
    assert sum(map(bool, printed)) == 19
    assert [None if value is None else round(value, 2) for value in rsi] == [float(text) if text else None for text in printed]


def naive(bars: pl.DataFrame) -> list[dict[str, float | None]]:
    """The contract's formulas that have no published answer file, as loops over plain numbers."""
    opened, high, low, close, volume = (
        bars[name].to_list() for name in ("open_usd", "high_usd", "low_usd", "close_usd", "volume_shares")
    )
    rows: list[dict[str, float | None]] = []
    percent_k: list[float | None] = []
    true_range: list[float] = []
    obv = 0.0
    wilder: float | None = None
    for t in range(len(close)):
        row: dict[str, float | None] = dict.fromkeys(
            (
                "return_1d",
                "log_return_1d",
                "price_change_usd",
                "price_change_pct",
                "obv_change_shares",
                "bb_upper_usd",
                "bb_lower_usd",
                "bb_width_usd",
                "volume_sma_20_shares",
                "vwap_20_usd",
            )
        )
        row |= {"high_low_range_usd": high[t] - low[t], "open_close_range_usd": close[t] - opened[t], "bar_number": t + 1}
        for n in (5, 10, 50, 200):
            row[f"sma_{n}_usd"] = statistics.fmean(close[t - n + 1 : t + 1]) if t >= n - 1 else None
        for n in (50, 200):
            ema = statistics.fmean(close[:n]) if t >= n - 1 else None
            for later in close[n : t + 1]:
                assert ema is not None
                ema = later * 2 / (n + 1) + ema * (1 - 2 / (n + 1))
            row[f"ema_{n}_usd"] = ema
        if t == 0:
            true_range.append(high[0] - low[0])
        else:
            previous = close[t - 1]
            true_range.append(max(high[t] - low[t], abs(high[t] - previous), abs(low[t] - previous)))
            step = 0 if close[t] == previous else math.copysign(1, close[t] - previous)
            obv += step * volume[t]
            row |= {
                "return_1d": close[t] / previous - 1,
                "log_return_1d": math.log(close[t] / previous),
                "price_change_usd": close[t] - previous,
                "price_change_pct": (close[t] / previous - 1) * 100,
                "obv_change_shares": step * volume[t],
            }
        row["obv_shares"] = obv
        if t <= 13:
            wilder = statistics.fmean(true_range) if t == 13 else None
        else:
            assert wilder is not None
            wilder = (wilder * 13 + true_range[t]) / 14
        row["atr_wilder_14_usd"] = wilder
        row["atr_14_usd"] = statistics.fmean(true_range[t - 13 :]) if t >= 13 else None
        row["roc_12_pct"] = (close[t] / close[t - 12] - 1) * 100 if t >= 12 else None
        k = None
        if t >= 13:
            lowest, highest = min(low[t - 13 : t + 1]), max(high[t - 13 : t + 1])
            k = 50.0 if highest == lowest else (close[t] - lowest) / (highest - lowest) * 100
        percent_k.append(k)
        row["stoch_k_14_pct"] = k
        row["stoch_d_3_pct"] = statistics.fmean(value for value in percent_k[t - 2 :] if value is not None) if t >= 15 else None
        if t >= 19:
            window = slice(t - 19, t + 1)
            middle, deviation = statistics.fmean(close[window]), statistics.stdev(close[window])
            traded = sum(volume[window])
            typical = [
                (h + lo + c) / 3 * v for h, lo, c, v in zip(high[window], low[window], close[window], volume[window], strict=True)
            ]
            row |= {
                "bb_upper_usd": middle + 2 * deviation,
                "bb_lower_usd": middle - 2 * deviation,
                "bb_width_usd": 4 * deviation,
                "volume_sma_20_shares": traded / 20,
                "vwap_20_usd": sum(typical) / traded if traded else None,
            }
        rows.append(row)
    return rows


@pytest.mark.parametrize("seed", range(4))
def test_values_are_those_of_a_plain_loop(random_bars: Bars, seed: int) -> None:
    bars = random_bars(seed, 260)
    scale = max(bars["close_usd"].to_list())
    for computed, expected in zip(indicators.compute(bars, None).iter_rows(named=True), naive(bars), strict=True):
        for name, value in expected.items():
            absolute = 1e-4 if name.startswith("obv") else 1e-9 * scale
            assert computed[name] == (None if value is None else pytest.approx(value, rel=1e-9, abs=absolute)), name


def test_every_column_is_compared_with_an_answer_of_another_origin(random_bars: Bars) -> None:
    published = {"sma_20_usd", "ema_12_usd", "ema_20_usd", "ema_26_usd", "macd_usd", "macd_signal_usd", "macd_hist_usd", "rsi_14"}
    inside_rsi = {"rsi_avg_gain_usd", "rsi_avg_loss_usd"}
    given_ = {"ticker", "session_date", "close_usd"}
    compared = set(naive(random_bars(0, 1))[0])
    assert published | inside_rsi | given_ | compared == set(INDICATORS.column_names)


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, count=st.integers(2, 460), data=st.data())
def test_any_cut_restarted_from_its_state_gives_the_same_bits(
    random_bars: Bars,
    assert_same_bits: Same,
    seed: int,
    count: int,
    data: st.DataObject,
) -> None:
    bars = random_bars(seed, count)
    whole = indicators.compute(bars, None)
    first = data.draw(st.integers(1, count - 1))
    until = data.draw(st.integers(first + 1, count))
    lookback = data.draw(st.sampled_from([indicators.LOOKBACK_BARS, indicators.LOOKBACK_BARS + 7, count]))
    slice_ = bars[max(0, first - lookback) : until]
    state = whole[first - 1 : first]
    assert_same_bits(indicators.compute(slice_, state), whole[first:until])
    assert_same_bits(indicators.compute_window(slice_, state, bars["session_date"][first]), whole[first:until])


@settings(max_examples=3, deadline=None)
@given(seed=SEEDS)
def test_day_by_day_gives_the_same_bits_as_one_range(random_bars: Bars, assert_same_bits: Same, seed: int) -> None:
    bars = random_bars(seed, 250)
    days = [indicators.compute(bars[:1], None)]
    for day in range(1, bars.height):
        window = bars[max(0, day - indicators.LOOKBACK_BARS) : day + 1]
        days.append(indicators.compute_window(window, days[-1], bars["session_date"][day]))
    assert_same_bits(pl.concat(days), indicators.compute(bars, None))


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, count=st.integers(1, 300), data=st.data())
def test_no_row_looks_ahead(
    random_bars: Bars,
    assert_same_bits: Same,
    seed: int,
    count: int,
    data: st.DataObject,
) -> None:
    bars = random_bars(seed, count)
    known = data.draw(st.integers(1, count))
    assert_same_bits(indicators.compute(bars[:known], None), indicators.compute(bars, None)[:known])


def test_a_window_without_state_holds_only_its_own_rows(random_bars: Bars, assert_same_bits: Same) -> None:
    bars = random_bars(5, 60)
    day = bars["session_date"][40]
    whole = indicators.compute(bars, None)
    assert_same_bits(indicators.compute_window(bars, None, day), whole[40:])
    assert_same_bits(indicators.compute_window(bars, whole[59:], day + timedelta(days=365)), whole.head(0))


def test_a_state_that_is_not_of_the_preceding_bar_is_refused(random_bars: Bars) -> None:
    bars = random_bars(5, 60)
    state = indicators.compute(bars, None)[38:39]
    with pytest.raises(StateGapError, match=r"TEST.*2020-02-24"):
        indicators.compute_window(bars, state, bars["session_date"][40])


def test_a_flat_series_is_neutral(bars_of_closes: Bars) -> None:
    flat = bars_of_closes([12.5] * 40).with_columns(high_usd=pl.lit(12.5), low_usd=pl.lit(12.5))
    last = indicators.compute(flat, None).row(-1, named=True)
    assert last["rsi_14"] == 50
    assert last["stoch_k_14_pct"] == 50
    assert (last["macd_usd"], last["macd_signal_usd"], last["macd_hist_usd"], last["atr_14_usd"]) == (0, 0, 0, 0)
    assert (last["bb_lower_usd"], last["bb_upper_usd"], last["bb_width_usd"]) == (12.5, 12.5, 0)
    assert (last["obv_shares"], last["return_1d"], last["log_return_1d"]) == (0, 0, 0)


def test_a_series_of_gains_has_rsi_100_and_one_of_losses_0(bars_of_closes: Bars) -> None:
    rising = [100.0 + day for day in range(30)]
    assert set(indicators.compute(bars_of_closes(rising), None)["rsi_14"][14:]) == {100.0}
    assert set(indicators.compute(bars_of_closes(rising[::-1]), None)["rsi_14"][14:]) == {0.0}


def test_without_volume_vwap_is_null_and_obv_stands_still(bars_of_closes: Bars) -> None:
    rows = indicators.compute(bars_of_closes([100.0 + day for day in range(25)], volume=0.0), None)
    assert rows["vwap_20_usd"].null_count() == 25
    assert set(rows["obv_shares"]) == {0.0}
    assert rows["volume_sma_20_shares"][-1] == 0


def test_a_single_bar_has_state_and_ranges_but_no_window(bars_of_closes: Bars) -> None:
    rows = indicators.compute(bars_of_closes([10.0]), None)
    assert rows.schema == polars_schema(INDICATORS)
    filled = {name: value for name, value in rows.row(0, named=True).items() if value is not None}
    assert filled == {
        "ticker": "TEST",
        "session_date": date(2020, 1, 1),
        "close_usd": 10.0,
        "obv_shares": 0.0,
        "high_low_range_usd": 1.0,
        "open_close_range_usd": 0.0,
        "bar_number": 1,
    }
