"""gold.indicators: technical indicators of one ticker, from its first bar or continued from the previous row.

The formulas are in the contract. EMA, MACD and RSI are seeded with the simple mean of their first window.
"""

import math
from datetime import date

import numpy as np
import polars as pl

from spark.contracts.gold import INDICATORS
from spark.transforms import resume
from spark.transforms.polars_schema import assemble
from spark.transforms.resume import ResumePoint
from spark.transforms.rolling import (
    Floats,
    cumulative_sum,
    exponential,
    lag,
    seeded_exponential,
    window_max,
    window_mean,
    window_means,
    window_min,
    window_sample_sd,
    window_sum,
)

LOOKBACK_BARS = INDICATORS.input("silver.prices_daily").sessions_back
"""Bars needed before the first row to produce besides the state: the mean of 200 closes is the longest window.

A ticker with fewer earlier bars gives all of them, so every seed (the last one is EMA 200's, at bar 200) is computed
from the first bar; a ticker with more has passed all seeds and carries them in the state.
"""

_SMA_BARS = (5, 10, 20, 50, 200)
_EMA_BARS = (12, 20, 26, 50, 200)
_MACD_FIRST_POSITION = 25
_SIGNAL_BARS = 9
_WILDER_BARS = 14

LATER_STATE = ("atr_wilder_14_usd",)
"""State that came after the first rows were stored: where the row before lacks it, a ticker is read from its first bar."""


def compute(bars: pl.DataFrame, state: pl.DataFrame | None) -> pl.DataFrame:
    """Rows of gold.indicators for all bars after the state's, or for all bars when `state` is None.

    `bars` are rows of silver.prices_daily of one ticker in session order, the rows to produce preceded by up to
    `LOOKBACK_BARS` earlier ones. `state` is None when they begin at the ticker's first bar, else the gold.indicators
    row of the bar before the first row to produce. Raises as `spark.transforms.resume.start`.
    """
    start = resume.start(bars, state, LOOKBACK_BARS)
    return _rows(bars, start, start.first)


def compute_window(bars: pl.DataFrame, state: pl.DataFrame | None, first_date: date) -> pl.DataFrame:
    """Rows of gold.indicators from `first_date` on; `state` must be the row of the bar right before that.

    Raises as `spark.transforms.resume.start`.
    """
    start = resume.start(bars, state, LOOKBACK_BARS, first_date)
    return _rows(bars, start, max(start.first, bars["session_date"].search_sorted(first_date)))


def _rows(bars: pl.DataFrame, start: ResumePoint, first: int) -> pl.DataFrame:
    """Contract rows from position `first` on; earlier positions only fill windows."""
    computed = {name: column[first:] for name, column in _columns(bars, start).items()}
    return assemble({"ticker": bars["ticker"][first:], "session_date": bars["session_date"][first:], **computed}, INDICATORS)


def _columns(bars: pl.DataFrame, start: ResumePoint) -> dict[str, Floats]:
    """All computed columns over all positions of `bars`, NaN where not defined."""
    opened, high, low, close, volume = (
        bars[name].to_numpy() for name in ("open_usd", "high_usd", "low_usd", "close_usd", "volume_shares")
    )
    previous = lag(close, 1)
    change = close - previous
    columns: dict[str, Floats] = {
        "close_usd": close,
        "price_change_usd": change,
        "return_1d": close / previous - 1,
        "log_return_1d": _log(close / previous),
        "price_change_pct": 100 * (close / previous - 1),
        "roc_12_pct": 100 * (close / lag(close, 12) - 1),
        "high_low_range_usd": high - low,
        "open_close_range_usd": close - opened,
        "bar_number": start.first_bar_number + np.arange(len(close), dtype=np.float64),
    }
    columns |= {f"sma_{n}_usd": mean for n, mean in window_means(close, _SMA_BARS).items()}
    columns |= _trend(close, start)
    columns |= _relative_strength(change, start)
    columns |= _stochastic(high, low, close)
    columns |= _bollinger(close, columns["sma_20_usd"])
    columns |= _volume(high, low, close, volume, change, start)
    true_range = _true_range(high, low, previous)
    columns["atr_14_usd"] = window_mean(true_range, 14)
    columns["atr_wilder_14_usd"] = (
        seeded_exponential(true_range, 1 / _WILDER_BARS, _WILDER_BARS, 0)
        if start.carried is None
        else exponential(true_range, 1 / _WILDER_BARS, start.first - 1, start.number("atr_wilder_14_usd"))
    )
    return columns


def _log(values: Floats) -> Floats:
    """Natural logarithm by the C library: numpy's own may use another instruction set on another machine."""
    return np.fromiter(map(math.log, values.tolist()), np.float64, len(values))


def _trend(close: Floats, start: ResumePoint) -> dict[str, Floats]:
    """EMAs and MACD; each recursion starts at its seed or at the carried row, position `start.first - 1`."""
    if start.carried is None:
        columns = {f"ema_{n}_usd": seeded_exponential(close, 2 / (n + 1), n, 0) for n in _EMA_BARS}
    else:
        columns = {
            f"ema_{n}_usd": exponential(close, 2 / (n + 1), start.first - 1, start.number(f"ema_{n}_usd")) for n in _EMA_BARS
        }
    macd = columns["ema_12_usd"] - columns["ema_26_usd"]
    alpha = 2 / (_SIGNAL_BARS + 1)
    if start.carried is None:
        signal = seeded_exponential(macd, alpha, _SIGNAL_BARS, _MACD_FIRST_POSITION)
    else:
        signal = exponential(macd, alpha, start.first - 1, start.number("macd_signal_usd"))
    return columns | {"macd_usd": macd, "macd_signal_usd": signal, "macd_hist_usd": macd - signal}


def _relative_strength(change: Floats, start: ResumePoint) -> dict[str, Floats]:
    """Wilder's averages of gains and losses and the RSI they give."""
    averages = {}
    for name, moves in (("rsi_avg_gain_usd", np.maximum(change, 0)), ("rsi_avg_loss_usd", np.maximum(-change, 0))):
        averages[name] = (
            seeded_exponential(moves, 1 / _WILDER_BARS, _WILDER_BARS, 1)
            if start.carried is None
            else exponential(moves, 1 / _WILDER_BARS, start.first - 1, start.number(name))
        )
    gain, loss = averages["rsi_avg_gain_usd"], averages["rsi_avg_loss_usd"]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        rsi = 100 - 100 / (1 + gain / loss)
    return averages | {"rsi_14": np.where((gain == 0) & (loss == 0), 50.0, rsi)}


def _stochastic(high: Floats, low: Floats, close: Floats) -> dict[str, Floats]:
    """Stochastic oscillator %K over 14 bars and its 3-bar mean."""
    lowest, highest = window_min(low, 14), window_max(high, 14)
    with np.errstate(divide="ignore", invalid="ignore"):
        percent = np.where(highest == lowest, 50.0, 100 * ((close - lowest) / (highest - lowest)))
    return {"stoch_k_14_pct": percent, "stoch_d_3_pct": window_mean(percent, 3)}


def _bollinger(close: Floats, middle: Floats) -> dict[str, Floats]:
    """Bollinger bands: the 20-bar mean plus and minus two sample standard deviations."""
    deviation = 2 * window_sample_sd(close, 20)
    upper, lower = middle + deviation, middle - deviation
    return {"bb_upper_usd": upper, "bb_lower_usd": lower, "bb_width_usd": upper - lower}


def _true_range(high: Floats, low: Floats, previous: Floats) -> Floats:
    """True range; high - low on the first bar, which no produced window reaches unless it is the ticker's first."""
    ranges = np.maximum(high, previous) - np.minimum(low, previous)
    ranges[0] = high[0] - low[0]
    return ranges


def _volume(
    high: Floats,
    low: Floats,
    close: Floats,
    volume: Floats,
    change: Floats,
    start: ResumePoint,
) -> dict[str, Floats]:
    """On-balance volume, 20-bar VWAP and mean volume."""
    signed = np.sign(change) * volume
    obv = (
        cumulative_sum(signed, 0, 0.0)
        if start.carried is None
        else cumulative_sum(signed, start.first - 1, start.number("obv_shares"))
    )
    traded = window_sum(volume, 20)
    with np.errstate(divide="ignore", invalid="ignore"):
        vwap = np.where(traded == 0, np.nan, window_sum((high + low + close) / 3 * volume, 20) / traded)
    return {"obv_shares": obv, "obv_change_shares": obv - lag(obv, 1), "vwap_20_usd": vwap, "volume_sma_20_shares": traded / 20}
