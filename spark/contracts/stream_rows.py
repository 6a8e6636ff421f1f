"""What a row of the stream may be: its limits, its flaws and the units of its times, for every engine that meets it.

Belongs here: rules that decide the fate of a trade or a quote. There are three fates, the same everywhere:

- *refused*: what some engine could not hold, or a sum could not hold exactly. The feed keeps its text in
  ods.rejected_messages, Postgres's constraints refuse it, the sink sends its record to the dead letters and the archive
  its record to silver.quarantine;
- *flawed*: it is kept in every table with the name of its flaw, and takes no part in candles and windows;
- *taken*.

The feed, the sink and the archive call these functions. The constraints of deploy/postgres/market.sql and the settings of
the connector (finlake_clients/connect/connectors) are text: tests compare them with what is derived here. Does not belong here:
how a row is read from JSON, and what happens to one that is refused.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

NUMBER_LIMIT = 1e13
"""Prices and volumes from here on are refused: sums of their 1e-8 units, and of price times volume, stay exact below it."""

LONGEST_NAME = 64
"""Characters of a symbol and of the name of a connection or poller, at most."""

MOST_CONDITIONS, LONGEST_CONDITIONS = 32, 255
"""Condition codes of a trade, and characters of all of them joined by commas, at most. Real trades have up to four."""

FUTURE_TOLERANCE_S = 60
"""A trade dated more than this many seconds after it was received has an impossible time."""

EARLIEST_TS, LATEST_TS = datetime(1970, 1, 1, tzinfo=UTC), datetime(2262, 1, 1, tzinfo=UTC)
"""Times that every engine can hold, those with 64-bit nanoseconds included: from the first on, before the second."""

FINEST_TIME_US = 1_000
"""The vendor's times are whole multiples of so many microseconds: ClickHouse keeps milliseconds, and would cut a finer one."""

PLAUSIBLE_SINCE_TS = datetime(2000, 1, 1, tzinfo=UTC)
"""A trade dated earlier has an impossible time: no vendor streams it. Seconds taken for milliseconds are of January 1970."""

PRICE_NOT_POSITIVE, VOLUME_NEGATIVE, PAST_TIME, FUTURE_TIME = (
    "price_not_positive",
    "volume_negative",
    "past_time",
    "future_time",
)
FLAWS = (PRICE_NOT_POSITIVE, VOLUME_NEGATIVE, PAST_TIME, FUTURE_TIME)
"""The flaws of a trade in the order in which they are looked for: a trade has the first that applies."""

FLAW_FORMULA = (
    f"first of: price <= 0, volume < 0, trade_ts before {PLAUSIBLE_SINCE_TS:%Y-%m-%d}, "
    f"trade_ts > received_ts + {FUTURE_TOLERANCE_S} s"
)

VENDOR_COMPLAINS = "the vendor complains: "
"""How the reason in ods.rejected_messages begins where a message is no trade but the vendor's complaint, in its words."""

RECOGNISED_WITHIN = timedelta(days=1)
"""A time in another unit is recognised when it then lies this close to the moment of receipt: no coincidence does."""

UNITS_PER_S: Mapping[str, int] = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
"""Units in which a vendor may tell Unix time."""

# A trade's columns beside its symbol and codes: names, numbers and times as JSON, and Debezium's envelope around them.
_JSON_OF_THE_REST = 2_048
# A quotation mark or a backslash takes two bytes in JSON; what takes more is not printable ASCII.
_BYTES_PER_CHARACTER = 2
# Around a code: two quotation marks and a comma.
_BYTES_AROUND_A_CODE = 3

WIDEST_ROW_BYTES = (
    _JSON_OF_THE_REST + _BYTES_PER_CHARACTER * (2 * LONGEST_NAME + LONGEST_CONDITIONS) + _BYTES_AROUND_A_CODE * MOST_CONDITIONS
)
"""No change record of a row that Postgres's constraints let in has more bytes."""

MAX_VALUE_BYTES = 1_000_000
"""The largest value of a change record that is read; a larger one is no trade and no quote."""

MAX_RECORD_BYTES = 8 * 1024 * 1024
"""The largest record of any topic of the stream: what a producer sends, the broker takes and a consumer fetches.

Far more than `MAX_VALUE_BYTES`: a row that is wider than the constraints allow, because it is older than they are or somebody
took them away, still reaches Kafka. There it is one dead letter; a producer that refused it would stop change capture.
"""

MAX_LETTER_BYTES = MAX_RECORD_BYTES - 16 * 1024
"""The largest value of a dead letter: its key and headers, and Kafka's own framing, take the rest of the record."""

LONGEST_CAPTURED_TEXT = 4_096
"""Characters of any text that change data capture passes on, also of a column that somebody adds: the rest is cut."""

_PRINTABLE = r"[ -~]*"
_is_printable = re.compile(_PRINTABLE).fullmatch


class Objection(NamedTuple):
    """Why a row is refused: one word and more words."""

    reason: str
    detail: str


def objection_to_trade(
    *,
    connection_id: str,
    symbol: str,
    price_usd: float,
    volume_shares: float,
    trade_ts: datetime | None,
    conditions: Sequence[str],
) -> Objection | None:
    """Why a trade is refused, None when it is not. `trade_ts` None: a time that no `datetime` holds. NaN is in no range."""
    return (
        _objection_to_names(connection_id, symbol)
        or _objection_to_numbers((price_usd, volume_shares))
        or _objection_to_time(trade_ts)
        or _objection_to_conditions(conditions)
    )


def objection_to_quote(
    *,
    poller_id: str,
    symbol: str,
    numbers: Iterable[float | None],
    quote_ts: datetime | None,
) -> Objection | None:
    """Why a quote is refused, None when it is not. `numbers` are all of its numbers; a missing one harms nothing."""
    return (
        _objection_to_names(poller_id, symbol)
        or _objection_to_numbers(number for number in numbers if number is not None)
        or _objection_to_time(quote_ts)
    )


def flaws_of(price_usd: Any, volume_shares: Any, trade_ts: Any, received_ts: Any) -> tuple[tuple[str, Any], ...]:
    """Each flaw with whether the trade has it.

    Made of comparisons alone: of numbers and `datetime`s they are booleans, of a data frame's columns they are columns.
    """
    return (
        (PRICE_NOT_POSITIVE, price_usd <= 0),
        (VOLUME_NEGATIVE, volume_shares < 0),
        (PAST_TIME, trade_ts < PLAUSIBLE_SINCE_TS),
        (FUTURE_TIME, trade_ts > received_ts + timedelta(seconds=FUTURE_TOLERANCE_S)),
    )


def flaw_of(price_usd: float, volume_shares: float, trade_ts: datetime, received_ts: datetime) -> str:
    """The first flaw of a trade, empty for a good one."""
    return next((name for name, is_so in flaws_of(price_usd, volume_shares, trade_ts, received_ts) if is_so), "")


def in_unit(stamp: int, unit: str, received_us: int) -> int:
    """A vendor's Unix time in `unit`, its promised unit, also when it came in another one.

    A time that is plausible as it stands is left alone. One that is not, and lies within a day of `received_us` (Unix
    microseconds) in another unit, is converted, rounded down. Anything else is returned as it came, to be judged as that.
    """
    per_s = UNITS_PER_S[unit]
    if _unix_s(PLAUSIBLE_SINCE_TS) * per_s <= stamp < _unix_s(LATEST_TS) * per_s:
        return stamp
    for other in UNITS_PER_S.values():
        away_us = abs(stamp * UNITS_PER_S["us"] // other - received_us)
        if other != per_s and away_us < RECOGNISED_WITHIN // timedelta(microseconds=1):
            return stamp * per_s // other
    return stamp


def moment(stamp: int, unit: str) -> datetime | None:
    """A Unix time as `datetime`, None for one that is outside of what every engine can hold."""
    per_s = UNITS_PER_S[unit]
    if not _unix_s(EARLIEST_TS) <= stamp // per_s < _unix_s(LATEST_TS):
        return None
    return EARLIEST_TS + timedelta(microseconds=stamp * UNITS_PER_S["us"] // per_s)


def trade_constraints() -> dict[str, str]:
    """Postgres's CHECK constraints of a trade by name."""
    return {
        "names_are_short": _sql_names("connection_id", "symbol"),
        "numbers_are_sane": _sql_numbers("price_usd", "volume_shares"),
        "time_is_storable": _sql_time("trade_ts"),
        "time_is_whole_ms": _sql_whole("trade_ts"),
        "conditions_are_few": (
            f"cardinality(conditions) <= {MOST_CONDITIONS} AND coalesce(array_ndims(conditions), 1) = 1 "
            "AND coalesce(array_lower(conditions, 1), 1) = 1 AND array_position(conditions, NULL) IS NULL "
            f"AND char_length(array_to_string(conditions, ',')) <= {LONGEST_CONDITIONS} "
            f"AND array_to_string(conditions, ',') COLLATE \"C\" ~ '^{_PRINTABLE}$'"
        ),
    }


def quote_constraints(numbers: Sequence[str]) -> dict[str, str]:
    """Postgres's CHECK constraints of a quote by name; `numbers` are its columns of numbers."""
    return {
        "names_are_short": _sql_names("poller_id", "symbol"),
        "numbers_are_sane": _sql_numbers(*numbers),
        "time_is_storable": _sql_time("quote_ts"),
        "time_is_whole_ms": _sql_whole("quote_ts"),
    }


def _objection_to_names(sender: str, symbol: str) -> Objection | None:
    for what, name in (("symbol", symbol), ("connection or poller", sender)):
        if not 0 < len(name) <= LONGEST_NAME or not _is_printable(name):
            return Objection(
                "name_out_of_bounds", f"the {what} is empty, longer than {LONGEST_NAME} characters or not of printable ASCII"
            )
    return None


def _objection_to_numbers(numbers: Iterable[float]) -> Objection | None:
    for number in numbers:
        if not -NUMBER_LIMIT < number < NUMBER_LIMIT:
            return Objection("number_too_large", f"the number {number!r} is {NUMBER_LIMIT:g} or more, or is not finite")
    return None


def _objection_to_time(happened_ts: datetime | None) -> Objection | None:
    if happened_ts is None or not EARLIEST_TS <= happened_ts < LATEST_TS:
        return Objection("time_out_of_range", f"the time is outside the years {EARLIEST_TS.year} to {LATEST_TS.year - 1}")
    if happened_ts.microsecond % FINEST_TIME_US:
        return Objection("time_too_fine", "the time has a fraction of a millisecond")
    return None


def _objection_to_conditions(conditions: Sequence[str]) -> Objection | None:
    if len(conditions) > MOST_CONDITIONS:
        return Objection("too_many_conditions", f"{len(conditions)} condition codes, more than {MOST_CONDITIONS}")
    joined = ",".join(conditions)
    if len(joined) > LONGEST_CONDITIONS or not _is_printable(joined):
        return Objection(
            "conditions_out_of_bounds",
            f"the condition codes are longer than {LONGEST_CONDITIONS} characters together or not of printable ASCII",
        )
    return None


def _sql_names(*columns: str) -> str:
    return " AND ".join(
        f"char_length({column}) BETWEEN 1 AND {LONGEST_NAME} AND {column} COLLATE \"C\" ~ '^{_PRINTABLE}$'" for column in columns
    )


def _sql_numbers(*columns: str) -> str:
    # To Postgres NaN is greater than any number.
    return " AND ".join(f"{column} > -{NUMBER_LIMIT:.0f} AND {column} < {NUMBER_LIMIT:.0f}" for column in columns)


def _sql_time(column: str) -> str:
    return f"{column} >= '{EARLIEST_TS:%Y-%m-%d} 00:00:00+00' AND {column} < '{LATEST_TS:%Y-%m-%d} 00:00:00+00'"


def _sql_whole(column: str) -> str:
    # Of a new name: an installation that has the constraints of before gets it too.
    return f"{column} = date_trunc('milliseconds', {column})"


def _unix_s(moment: datetime) -> int:
    return int(moment.timestamp())
