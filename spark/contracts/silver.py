"""Silver: one agreed version of each fact, keyed, typed and judged; what could not be judged good is in quarantine."""

from spark.contracts import price_limits as limits
from spark.contracts import speed
from spark.contracts.attribution import BRONZE_TABLES
from spark.contracts.bronze import (
    CHANGE_HOPS,
    CHANGE_POSITION,
    DAY_DATE,
    FETCHED_TS,
    FILE_SHA256,
    QUOTE_VALUES,
    SESSION_DATE,
    TICKER,
    TRADE_VALUES,
    prices,
    stream_column,
)
from spark.contracts.stream_rows import FLAWS, FUTURE_TOLERANCE_S, PLAUSIBLE_SINCE_TS
from spark.contracts.table import Check, Column, Freshness, Input, Partitioning, Table

PRICE_CHECKS: tuple[Check, ...] = (
    Check(
        name="prices_positive",
        predicate="open_usd > 0 and high_usd > 0 and low_usd > 0 and close_usd > 0",
        why="a price of zero or less never traded",
    ),
    Check(
        name="prices_within_bounds",
        predicate=f"least(open_usd, high_usd, low_usd, close_usd) >= {limits.LOWEST_PRICE_USD:.6f} "
        f"and greatest(open_usd, high_usd, low_usd, close_usd) <= {limits.HIGHEST_PRICE_USD:.0f}",
        why=f"no share has a price below {limits.LOWEST_PRICE_USD:.6f} USD or above {limits.HIGHEST_PRICE_USD:,.0f} USD, "
        "adjusted for splits either",
    ),
    Check(
        name="high_is_highest",
        predicate="high_usd >= greatest(open_usd, close_usd, low_usd)",
        why="open, close and low lie within the day's range",
    ),
    Check(
        name="low_is_lowest",
        predicate="low_usd <= least(open_usd, close_usd, high_usd)",
        why="open, close and high lie within the day's range",
    ),
    Check(name="volume_not_negative", predicate="volume_shares >= 0", why="shares cannot be un-traded"),
)

# Verdicts whose downloads speak; those that wait, are older, rejected or dropped change nothing.
ACCEPTED_VERDICTS = ("first", "consistent", "restated", "accepted")
# Verdicts that somebody must be warned of until something better comes.
UNUSED_VERDICTS = ("partial", "rejected")
VERDICTS = (*ACCEPTED_VERDICTS, *UNUSED_VERDICTS, "older", "dropped")
DECISIONS = ("accept", "drop", "judge")

PRICE_DECISIONS = Table(
    layer="silver",
    name="price_decisions",
    summary="What people decided about downloads that the rule judges otherwise: who, when and why. Append only.",
    grain=("ticker", "file_sha256", "decided_ts"),
    columns=(
        TICKER,
        FILE_SHA256,
        Column(
            name="decision",
            type="string",
            note="accept: the file speaks as it is; drop: it takes no part; judge: the rule decides again. The newest counts",
        ),
        Column(name="reason", type="string", note="Why, in the words of who decided"),
        Column(name="decided_by", type="string", note="Account that gave the command"),
        Column(name="decided_ts", type="timestamp", unit="UTC", note="When it was decided"),
        Column(name="decided_date", type="date", unit="UTC date", note="Day of decided_ts"),
        Column(
            name="source_name", type="string", note="The file's name, for people", sources=("bronze.stooq_downloads.source_name",)
        ),
    ),
    window="none",
    window_column="decided_date",
    partitioning=None,
    sort_order=("decided_ts", "ticker"),
    inputs=(Input("bronze.stooq_downloads"),),
    has_step=False,
    notes=(
        "Written by `finlake prices accept`, `drop` and `judge`; an input of the verdicts, which are given anew from the "
        "file on that a decision concerns.",
    ),
    checks=(
        Check(
            name="decision_is_known",
            predicate="decision in (" + ", ".join(f"'{each}'" for each in DECISIONS) + ")",
            why="verdicts follow it",
        ),
        Check(name="reason_given", predicate="reason <> '' and decided_by <> ''", why="a decision explains itself"),
    ),
)

PRICE_RESTATEMENTS = Table(
    layer="silver",
    name="price_restatements",
    summary="How each download relates to what was known before it, whether it speaks, and why.",
    grain=("ticker", "file_sha256", "segment_number"),
    columns=(
        TICKER,
        FILE_SHA256,
        FETCHED_TS,
        Column(
            name="segment_number",
            type="int",
            unit="0-based",
            note="A restated download has one row per span of constant ratio; any other verdict has one row, 0",
        ),
        Column(
            name="verdict",
            type="string",
            note="first, consistent, restated or accepted (by a person): used; partial (restates, but not all known "
            "sessions: waits for the whole history), rejected, older (made before what is known) or dropped (by a "
            "person): not used",
        ),
        Column(
            name="kind",
            type="string",
            nullable=True,
            note="split when the ratio is far from 1 and volume moves inversely by a whole split, else dividend",
        ),
        Column(
            name="ratio",
            type="double",
            unit="new close / old close",
            nullable=True,
            note="Constant over the segment; exactly 1 where nothing changed",
            sources=("bronze.stooq_prices.close_usd",),
            formula="median over the segment's common sessions of new close / old close",
        ),
        Column(
            name="volume_ratio",
            type="double",
            unit="new volume / old volume",
            nullable=True,
            note="Median over the segment",
            sources=("bronze.stooq_prices.volume_shares",),
        ),
        Column(name="segment_start_date", type="date", nullable=True, note="First common session of the segment"),
        Column(
            name="boundary_date",
            type="date",
            nullable=True,
            note="First common session after the segment: the ex-date whose effect the ratio is",
        ),
        Column(
            name="recompute_from_date",
            type="date",
            nullable=True,
            note="Earliest session this download changes; everything from here on is recomputed",
        ),
        Column(name="compared_count", type="long", unit="sessions", note="Common sessions compared"),
        Column(name="message", type="string", note="The verdict in words, with the file's name and what can be done"),
        Column(
            name="carried_dates",
            type="string",
            nullable=True,
            note="Comma-separated sessions of the segment for which the value known before stands, times the ratio: the "
            "file's own bar is in dispute or missing",
        ),
        Column(
            name="corrected_dates",
            type="string",
            nullable=True,
            note="Comma-separated sessions of the segment whose changed bar is believed: the last known bar was not "
            "finished, enough other downloads said the same, or the known bars were one download's alone and jumped "
            "without trading",
        ),
        Column(
            name="unproven_dates",
            type="string",
            nullable=True,
            note="Comma-separated sessions at an edge of the file that nothing is published of until another download says "
            "the same: the price leaps there without the trading for it",
        ),
        Column(
            name="source_name",
            type="string",
            nullable=True,
            note="File name, or URL without the key",
            sources=("bronze.stooq_downloads.source_name",),
        ),
        Column(
            name="rule_version",
            type="int",
            unit="version number",
            nullable=True,
            note="Version of the rule that judged; another one judges anew",
        ),
        Column(
            name="decided_ts",
            type="timestamp",
            unit="UTC",
            nullable=True,
            note="The person's decision about the file that was taken into account, if any",
            sources=("silver.price_decisions.decided_ts",),
        ),
    ),
    window="session",
    window_column="segment_start_date",
    partitioning=None,
    sort_order=("fetched_ts", "ticker"),
    inputs=(Input("bronze.stooq_prices"), Input("bronze.stooq_downloads"), Input("silver.price_decisions")),
    notes=(
        "Appended by download; its partition of a session says that the downloads up to it were judged.",
        "A verdict follows from the downloads of the ticker, in the order of fetched_ts, last date and hash, and from the "
        "decisions of people alone: all bars of a file, whatever the window of a run and whatever arrived first.",
        "The rule: printed prices are multiplied and printed again at every split and dividend, back to the first bar. A "
        f"bar may miss its factor by {limits.TOLERANCE_UNITS:g} printed units of both prices, and by "
        f"{limits.TOLERANCE_UNITS_PER_ADJUSTMENT:g} for each further adjustment up to {limits.HIGHEST_TOLERANCE_UNITS:g}. A "
        f"dividend's factor is {limits.LOWEST_DIVIDEND_FACTOR:g} to 1, however long nobody downloaded (after "
        f"five years {limits.LOWEST_YEARLY_FACTOR:g} to the power of the years); any other step needs volume to move inversely "
        f"within {limits.VOLUME_TOLERANCE:.0%}, or a jump in the known prices that it takes away. So does any late step over the "
        f"first {limits.EARLIEST_SESSIONS} sessions of history alone. At most {limits.DISPUTED_SHARE:.1%} of the compared bars, "
        f"or {limits.FEWEST_DISPUTED}, may disagree, or {limits.SET_ASIDE_SHARE:.0%} in as many stretches that leap nowhere: "
        "for these the known value stands until a later download says the same. Of more than "
        f"{limits.LONGEST_DISPUTED_STRETCH} in a row, and of rejected downloads, statements count as votes: "
        f"{limits.VOTES} that agree decide against bars that one used download alone has said, "
        f"{limits.VOTES_AGAINST_CONFIRMED} against any. Every limit with its reason: spark/contracts/price_limits.py.",
    ),
    checks=(
        Check(
            name="verdict_is_known",
            predicate="verdict in (" + ", ".join(f"'{each}'" for each in VERDICTS) + ")",
            why="prices_daily decides by it",
        ),
        Check(name="ratio_positive", predicate="ratio > 0", why="prices are positive"),
    ),
)

PRICES_DAILY = Table(
    layer="silver",
    name="prices_daily",
    summary="One adjusted daily bar per ticker and session: the latest accepted version.",
    grain=("ticker", "session_date"),
    columns=(
        TICKER,
        SESSION_DATE,
        *prices("bronze.stooq_prices"),
        Column(
            name="is_restated",
            type="boolean",
            note="True when an accepted later download changed this bar's close",
            sources=("bronze.stooq_prices.close_usd",),
        ),
        Column(
            name="is_contested",
            type="boolean",
            nullable=True,
            note="True when accepted downloads state this bar differently, which neither rounding nor a restatement "
            "explains: the last bar was not finished, the vendor corrected it, or it is in dispute and the value "
            "known before stands",
            sources=("silver.price_restatements.carried_dates", "silver.price_restatements.corrected_dates"),
        ),
        FILE_SHA256,
        FETCHED_TS,
    ),
    window="session",
    window_column="session_date",
    partitioning=Partitioning(column="session_date", transform="month"),
    sort_order=("ticker", "session_date"),
    inputs=(Input("bronze.stooq_prices"), Input("bronze.stooq_downloads"), Input("silver.price_restatements")),
    checks=PRICE_CHECKS,
    freshness=Freshness(due_hours=8),
    notes=(
        "Bars that are impossible or not on a session are in silver.quarantine, never here.",
        "A bar in dispute has the value that was known before it, times the factor of the restatement that it came with "
        "(prices to six significant digits); the file's own bar is in silver.quarantine. A later download that says the "
        "same as it decides for it.",
        f"Bars within the first or last {limits.EDGE_SESSIONS} of a first download, or of history that a later one adds before "
        f"the known bars, that stand × {limits.CONTINUATION_LEAP:g} or more apart from the rest without the trading for it, or × "
        f"{limits.UNTRADED_LEAP:g} whatever was traded, are in silver.quarantine (`unproven_leap`) until another download says "
        "the same.",
    ),
)

COMPLETENESS_STATUSES = ("present", "absent", "not_expected", "unexpected")

COMPLETENESS = Table(
    layer="silver",
    name="completeness",
    summary="One row per ticker and session: whether a bar is expected, whether silver.prices_daily has it, and why not.",
    grain=("ticker", "session_date"),
    columns=(
        TICKER,
        Column(
            name="session_date",
            type="date",
            unit="America/New_York date",
            note="XNYS session; for a bar of a day on which the exchange was closed, that day",
        ),
        Column(
            name="is_expected",
            type="boolean",
            note="True when the ticker was alive: listed, neither delisted nor suspended, by the universe file or, where that "
            "says nothing of a listing, from the first bar of any download on",
            sources=("bronze.stooq_downloads.first_session_date",),
        ),
        Column(
            name="is_present",
            type="boolean",
            note="True when silver.prices_daily has the bar",
            sources=("silver.prices_daily.session_date",),
        ),
        Column(
            name="status",
            type="string",
            note="present, absent (expected and not there), not_expected, or unexpected (there and not expected)",
        ),
        Column(
            name="reason",
            type="string",
            note="Empty for present; no_bar (no download has one), bar_not_accepted (a download has one that its verdict or "
            "a rule keeps out); not_listed, before_first_bar, delisted, suspended; closed_day",
        ),
        Column(name="message", type="string", note="The reason in words and what to do; empty for present"),
        Column(
            name="due_ts",
            type="timestamp",
            unit="UTC",
            nullable=True,
            note="When the bar is due from the vendor: the session's close and the hours that silver.prices_daily allows; "
            "null for a closed day",
        ),
        Column(
            name="overdue_ts",
            type="timestamp",
            unit="UTC",
            nullable=True,
            note="When the next session's bar is due: an absent bar is late until then, and missing from then on",
        ),
    ),
    window="session",
    window_column="session_date",
    partitioning=Partitioning(column="session_date", transform="month"),
    sort_order=("session_date", "ticker"),
    inputs=(Input("silver.prices_daily"), Input("bronze.stooq_prices"), Input("bronze.stooq_downloads")),
    checks=(
        Check(
            name="status_is_known",
            predicate="status in ('present', 'absent', 'not_expected', 'unexpected')",
            why="checks and commands decide by it",
        ),
        Check(
            name="status_follows_from_the_row",
            predicate="(status = 'present') = (is_expected and is_present) and "
            "(status = 'absent') = (is_expected and not is_present)",
            why="a row says one thing",
        ),
        Check(
            name="reason_given",
            predicate="status = 'present' or (reason <> '' and message <> '')",
            why="whatever is not as expected explains itself",
        ),
    ),
    notes=(
        "In silver, beside the bars it counts: it is a fact about what was agreed, and gold has a row wherever silver has.",
        "No row depends on the clock, so that any order of runs gives the same rows. Whether an absent bar is not due yet, "
        "late or missing follows from due_ts and overdue_ts when somebody asks, as bars_are_complete and `finlake run` do.",
        "A window reaches back to the day after the session before it, so that a bar of a week-end or holiday is seen.",
    ),
)

NEWS_MENTIONS = Table(
    layer="silver",
    name="news_mentions",
    summary="One row per article and company it is about, with tone, themes and the session it was available for.",
    grain=("gkg_record_id", "ticker"),
    columns=(
        Column(name="gkg_record_id", type="string", note="GDELT record", sources=("bronze.gdelt_gkg.gkg_record_id",)),
        TICKER,
        Column(
            name="available_ts",
            type="timestamp",
            unit="UTC",
            sources=("bronze.gdelt_gkg.slot_ts",),
            note="Slot label: when the article was surely available, never the page's own time stamp",
        ),
        Column(
            name="session_date",
            type="date",
            unit="America/New_York date",
            sources=("bronze.gdelt_gkg.slot_ts",),
            note="Session in whose (previous close, this close] the article became available",
        ),
        DAY_DATE,
        Column(
            name="title",
            type="string",
            note="Page title, character references resolved once; empty when absent",
            sources=("bronze.gdelt_gkg.extras_xml",),
        ),
        Column(name="document_url", type="string", note="Article address", sources=("bronze.gdelt_gkg.document_identifier",)),
        Column(name="source_name", type="string", note="Publisher's domain", sources=("bronze.gdelt_gkg.source_common_name",)),
        Column(
            name="published_ts",
            type="timestamp",
            unit="UTC",
            nullable=True,
            note="The page's own stamp capped at available_ts; information only, often an hour off",
            sources=("bronze.gdelt_gkg.extras_xml",),
        ),
        *(
            Column(name=name, type="double", unit=unit, note=note, sources=("bronze.gdelt_gkg.tone_v15",))
            for name, unit, note in (
                ("tone", "percent of words, signed", "positive_pct - negative_pct"),
                ("positive_pct", "percent of words", "Share of words with positive tone"),
                ("negative_pct", "percent of words", "Share of words with negative tone"),
                ("polarity_pct", "percent of words", "positive_pct + negative_pct"),
                ("activity_density_pct", "percent of words", "Share of active words"),
                ("self_group_density_pct", "percent of words", "Share of self and group references"),
            )
        ),
        Column(
            name="word_count", type="long", unit="words", note="Length of the article", sources=("bronze.gdelt_gkg.tone_v15",)
        ),
        Column(
            name="themes",
            type="list<string>",
            note="Distinct themes, sorted",
            sources=("bronze.gdelt_gkg.themes_v1", "bronze.gdelt_gkg.themes_v2"),
        ),
        Column(name="matched_alias", type="string", note="Normalised name that matched"),
        Column(name="matched_field", type="string", note="organization, name or title"),
        Column(
            name="match_rule",
            type="string",
            note="strong, or the context that a common word needed: strong_alias, ticker_pattern, company_word, theme",
        ),
        Column(
            name="syndication_group",
            type="string",
            note="Hash of the normalised title and session: copies of one story share it; untitled articles stand alone",
        ),
        Column(name="is_stock_bot", type="boolean", note="Template article of a stock-bot site; kept out of sentiment means"),
        Column(name="is_translated", type="boolean", note="Machine-translated original"),
        Column(name="is_generated", type="boolean", note="True for rows made by finlake's sample sources"),
    ),
    window="day",
    window_column="day_date",
    partitioning=Partitioning(column="day_date", transform="month"),
    sort_order=("ticker", "available_ts", "gkg_record_id"),
    inputs=(Input("bronze.gdelt_gkg"),),
    freshness=Freshness(due_hours=8),
    checks=(
        Check(
            name="tone_is_difference",
            predicate="abs(tone - (positive_pct - negative_pct)) < 1e-6",
            why="an identity of the source; it breaks when columns shift",
        ),
        Check(
            name="polarity_is_sum",
            predicate="abs(polarity_pct - (positive_pct + negative_pct)) < 1e-6",
            why="an identity of the source; it breaks when columns shift",
        ),
        Check(name="published_not_after_available", predicate="published_ts <= available_ts", why="no look-ahead"),
    ),
    notes=(
        "Matching: exact on normalised names over organisations, all names and the title; common words need context; "
        "aliases have validity dates. Tickers are never matched as words.",
        "Source: the GDELT Project, https://www.gdeltproject.org/.",
    ),
)

QUARANTINE = Table(
    layer="silver",
    name="quarantine",
    summary="Every rejected row or file: where it came from, why, and its raw text.",
    grain=("source_table", "source_name", "reference", "reason"),
    columns=(
        Column(name="source_table", type="string", note="Address of the table that would have taken the row"),
        Column(name="source_name", type="string", note="File, URL or slot the row came from"),
        Column(name="reference", type="string", note="Line or key within the source"),
        Column(name="reason", type="string", note="Short code, e.g. malformed_line, impossible_price, not_a_session"),
        Column(name="message", type="string", note="What is wrong and what to do"),
        Column(name="raw_text", type="string", note="The row as it came, at most 4,000 characters"),
        Column(name="ticker", type="string", note="Ticker concerned, if any", nullable=True),
        Column(
            name="day_date",
            type="date",
            unit="America/New_York date",
            note="Date of the row where it has one, else the day the source was obtained",
        ),
    ),
    window="day",
    window_column="day_date",
    partitioning=Partitioning(column="day_date", transform="month"),
    sort_order=("source_table", "day_date"),
    inputs=(
        *(Input(each.address) for each in BRONZE_TABLES if each.step == each.address),
        Input("silver.price_restatements"),
        Input("silver.prices_daily"),
        Input("silver.news_mentions"),
    ),
    has_step=False,
    notes=("Each step replaces exactly its own rows of its window, so a re-run leaves one copy.",),
    checks=(Check(name="reason_given", predicate="reason <> '' and message <> ''", why="a rejection explains itself"),),
)


def _settled(
    name: str, what: str, source: str, key: tuple[Column, ...], values: tuple[Column, ...], checks: tuple[Check, ...]
) -> Table:
    """Rows of the stream as they stand after all their changes."""

    def taken(*columns: Column) -> tuple[Column, ...]:
        return tuple(stream_column(column, source) for column in columns)

    return Table(
        layer="silver",
        name=name,
        summary=f"One row per {what}, as it stands after every change that was archived.",
        grain=tuple(column.name for column in key),
        columns=(
            *taken(*values),
            *((speed.FLAW,) if speed.TRADE_TS in values else ()),
            *taken(speed.RECEIVED_TS),
            Column(
                name="received_date",
                type="date",
                unit="UTC date",
                note="Day of received_ts",
                sources=(f"{source}.{speed.RECEIVED_TS.name}",),
            ),
            *taken(*key, *CHANGE_HOPS, *CHANGE_POSITION),
        ),
        window="stream_day",
        window_column="received_date",
        partitioning=Partitioning(column="received_date", transform="day"),
        sort_order=("symbol", values[-1].name),
        inputs=(Input(source),),
        checks=(
            Check(name="received_on_its_date", predicate="to_date(received_ts) = received_date", why="files are found by it"),
            *checks,
        ),
        notes=(
            "The first change of a row gives its position and its times, however often the row is read again; the latest "
            "update gives its values; a deleted row is not here.",
            "received_ts is part of a row's key in Postgres, so that all changes of a row meet on one received_date: a row "
            "that is read again years later is known, without a limit to how far back is looked.",
            "A run adds the rows of what was archived since the last one; a day with an update or a delete is built anew.",
        ),
    )


TRADES = _settled(
    "trades",
    "trade",
    "bronze.finnhub_trades_cdc",
    speed.TRADE_ID,
    TRADE_VALUES,
    (
        Check(
            name="flaw_follows_from_the_row",
            predicate="(flaw = '') = (price_usd > 0 and volume_shares >= 0 "
            f"and unix_micros(trade_ts) >= {int(PLAUSIBLE_SINCE_TS.timestamp())}000000 "
            f"and unix_micros(trade_ts) <= unix_micros(received_ts) + {FUTURE_TOLERANCE_S}000000)",
            why="the live tables judge by the same rule",
        ),
        Check(
            name="flaw_is_known",
            predicate=f"flaw in ('', {', '.join(map(repr, FLAWS))})",
            why="readers leave a trade out by its flaw",
        ),
        Check(name="no_flaw", predicate="flaw = ''", severity="warn", why="the vendor sent an impossible trade"),
    ),
)

QUOTES = _settled(
    "quotes",
    "quote",
    "bronze.finnhub_quotes_cdc",
    speed.QUOTE_ID,
    QUOTE_VALUES,
    (Check(name="price_positive", predicate="price_usd > 0", severity="warn", why="the vendor sent an impossible quote"),),
)

TABLES: tuple[Table, ...] = (
    PRICE_DECISIONS,
    PRICE_RESTATEMENTS,
    PRICES_DAILY,
    COMPLETENESS,
    NEWS_MENTIONS,
    TRADES,
    QUOTES,
    QUARANTINE,
)
