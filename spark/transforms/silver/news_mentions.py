"""From GDELT records to mentions: one row per article and company, with tone, themes and the session of the news."""

import hashlib
import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from math import isfinite
from typing import TypedDict, cast

import polars as pl
import pyarrow as pa

from spark.contracts.silver import NEWS_MENTIONS
from spark.transforms.polars_schema import polars_schema
from spark.transforms.quarantine import Rejection, rejections_table
from spark.transforms.silver.company_names import Article, Match, Matcher, page_title, title_words

STOCK_BOT_DOMAINS = frozenset({"kopsource.com"})
IDENTITY_TOLERANCE = 1e-6

_TONE_COLUMNS = (
    "tone",
    "positive_pct",
    "negative_pct",
    "polarity_pct",
    "activity_density_pct",
    "self_group_density_pct",
)
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_COUNT = re.compile(r"[0-9]{1,9}")
_GCAM_WORD_COUNT = re.compile(rf"(?:^|,)wc:({_COUNT.pattern})(?:,|$)")
_PUBLISHED = re.compile(r"<PAGE_PRECISEPUBTIMESTAMP>([0-9]{14})</PAGE_PRECISEPUBTIMESTAMP>")
_LISTED = re.compile(r"\([A-Z]{2,12}\s*:\s*[A-Z0-9][A-Z0-9.\-]{0,7}\)")
_TEMPLATE = re.compile(
    r"\b(?:sells|buys|acquires|purchases|sold|bought) (?:new )?(?:[\d,]+ )?shares (?:of|in)\b"
    r"|\b(?:shares|holdings|stake|position) (?:sold|bought|acquired|purchased|lowered|raised|boosted|cut|trimmed"
    r"|reduced|increased|lessened|decreased|lifted) by\b"
    r"|\b(?:boosts|reduces|increases|raises|cuts|trims|lowers|decreases|has|takes|grows|lessens|lifts|sells|acquires)\b"
    r".{0,40}\b(?:position|stake|holdings) in\b"
    r"|\bshort interest (?:up|down|update)\b"
    r"|\bprice target (?:raised|cut|lowered|increased) (?:to|by)\b",
    re.IGNORECASE,
)


class _Record(TypedDict):
    """The columns of bronze.gdelt_gkg that a mention is made of."""

    gkg_record_id: str
    gkg_date: str
    source_common_name: str
    document_identifier: str
    themes_v1: str
    themes_v2: str
    organizations_v1: str
    organizations_v2: str
    tone_v15: str
    gcam: str
    all_names: str
    extras_xml: str
    slot_ts: datetime
    day_date: date
    is_generated: bool


class UnknownSessionError(LookupError):
    """An article became available outside the given closes; the message says how to extend the calendar."""


class _BrokenRecordError(ValueError):
    """A record whose numbers contradict each other or are none."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def mentions(
    rows: pl.DataFrame | pa.RecordBatch | pa.Table, matcher: Matcher, closes: Sequence[tuple[date, datetime]]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Mentions (silver.news_mentions) and rejected records (silver.quarantine) of bronze.gdelt_gkg rows.

    Both come in contract order, mentions sorted by ticker, available_ts and gkg_record_id. `closes` are sessions with
    their closing times, ascending; an article belongs to the first session whose close is not before its slot.
    A record that concerns no company is no mention and no rejection. One that does is rejected when its tone is not
    seven numbers, breaks tone = positive - negative or polarity = positive + negative, or counts other words than its
    GCAM column does. Each row depends on its record alone, so any cut of the input gives the same rows.

    Raises `UnknownSessionError` when an article lies after the last close or before the first one.
    """
    frame = rows if isinstance(rows, pl.DataFrame) else pl.DataFrame(rows)
    found: list[dict[str, object]] = []
    rejected: list[Rejection] = []
    sessions = _Sessions(closes)
    for record in cast(Iterator[_Record], frame.select(*_Record.__annotations__).iter_rows(named=True)):
        title = page_title(record["extras_xml"])
        matches = matcher.matches(
            Article(
                organizations_v1=record["organizations_v1"],
                organizations_v2=record["organizations_v2"],
                all_names=record["all_names"],
                themes_v2=record["themes_v2"],
                title=title,
                day_date=record["day_date"],
            )
        )
        if not matches:
            continue
        session_date = sessions.of(record["slot_ts"], record["gkg_record_id"])
        try:
            article = _article(record, title, session_date)
        except _BrokenRecordError as error:
            rejected.append(_rejection(record, matches, error))
            continue
        found += [
            {
                **article,
                "ticker": match.ticker,
                "matched_alias": match.alias,
                "matched_field": match.field,
                "match_rule": match.rule,
            }
            for match in matches
        ]
    order = list(NEWS_MENTIONS.sort_order)
    kept = pl.DataFrame(found, schema=polars_schema(NEWS_MENTIONS), orient="row").sort(order)
    return kept, pl.DataFrame(rejections_table(rejected))


class _Sessions:
    """The sessions to which instants belong: (previous close, this close]."""

    def __init__(self, closes: Sequence[tuple[date, datetime]]) -> None:
        self._dates = [session_date for session_date, _ in closes]
        self._closes = [close_ts.astimezone(UTC) for _, close_ts in closes]

    def of(self, available_ts: datetime, record_id: str) -> date:
        """Session of an instant; raises `UnknownSessionError` outside the closes."""
        if not self._closes or available_ts > self._closes[-1]:
            last = self._closes[-1].isoformat() if self._closes else "none"
            raise UnknownSessionError(
                f"record {record_id} became available at {available_ts.isoformat()}, after the last close ({last}); "
                "extend the closes by the sessions that follow, the next one is enough"
            )
        if available_ts < self._closes[0]:
            raise UnknownSessionError(
                f"record {record_id} became available at {available_ts.isoformat()}, before the first close "
                f"({self._closes[0].isoformat()}), so its session is unknown; extend the closes backwards by one"
            )
        return self._dates[bisect_left(self._closes, available_ts)]


def syndication_group(title: str, session_date: date, gkg_record_id: str) -> str:
    """Name of the story: articles of one session with the same words as title share it; an untitled one is alone."""
    words = title_words(title)
    identity = f"title {session_date.isoformat()} {' '.join(words)}" if words else f"record {gkg_record_id}"
    return hashlib.sha256(identity.encode()).hexdigest()[:32]


def is_stock_bot(source_name: str, title: str) -> bool:
    """Whether an article is a template about holdings, short interest or targets, by its publisher or by its title."""
    if source_name.lower().removeprefix("www.") in STOCK_BOT_DOMAINS:
        return True
    return bool(_LISTED.search(title)) and bool(_TEMPLATE.search(title))


def _article(record: _Record, title: str, session_date: date) -> dict[str, object]:
    """The columns of a mention that do not depend on the company; raises `_BrokenRecordError`."""
    record_id, available_ts = record["gkg_record_id"], record["slot_ts"]
    tone, word_count = _tone(record["tone_v15"])
    counted = _GCAM_WORD_COUNT.search(record["gcam"])
    if counted is not None and int(counted.group(1)) != word_count:
        raise _BrokenRecordError(
            "word_count_mismatch",
            f"the tone column counts {word_count} words and GCAM {counted.group(1)}; the columns have shifted, "
            "compare the record with the slot file",
        )
    return {
        "gkg_record_id": record_id,
        "available_ts": available_ts,
        "session_date": session_date,
        "day_date": record["day_date"],
        "title": title,
        "document_url": record["document_identifier"],
        "source_name": record["source_common_name"],
        "published_ts": _published_ts(record["extras_xml"], available_ts),
        **dict(zip(_TONE_COLUMNS, tone, strict=True)),
        "word_count": word_count,
        "themes": _themes(record["themes_v1"], record["themes_v2"]),
        "syndication_group": syndication_group(title, session_date, record_id),
        "is_stock_bot": is_stock_bot(record["source_common_name"], title),
        "is_translated": "-T" in record_id,
        "is_generated": record["is_generated"],
    }


def _tone(field: str) -> tuple[tuple[float, ...], int]:
    """Six shares of words and their number; raises `_BrokenRecordError` where the source's identities do not hold."""
    parts = field.split(",")
    is_numeric = len(parts) == 7 and all(_NUMBER.fullmatch(part) and isfinite(float(part)) for part in parts)
    if not is_numeric or not _COUNT.fullmatch(parts[6]):
        raise _BrokenRecordError(
            "unparseable_tone",
            f"the tone {field[:120]!r} is not seven numbers ending with a count of words; the columns have shifted, "
            "compare the record with the slot file",
        )
    tone, positive, negative, polarity, *densities = (float(part) for part in parts[:6])
    is_difference = abs(tone - (positive - negative)) < IDENTITY_TOLERANCE
    is_sum = abs(polarity - (positive + negative)) < IDENTITY_TOLERANCE
    if not (is_difference and is_sum):
        raise _BrokenRecordError(
            "tone_identity_broken",
            f"the tone {field[:120]!r} is not positive - negative, or its polarity not positive + negative; the "
            "columns have shifted, compare the record with the slot file",
        )
    return (tone, positive, negative, polarity, *densities), int(parts[6])


def _published_ts(extras_xml: str, available_ts: datetime) -> datetime | None:
    """The page's own stamp, read as UTC and not after `available_ts`; None when absent or no time."""
    found = _PUBLISHED.search(extras_xml)
    if found is None:
        return None
    try:
        said_ts = datetime.strptime(found.group(1), "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None
    return min(said_ts, available_ts)


def _themes(themes_v1: str, themes_v2: str) -> list[str]:
    """Distinct themes of both columns, sorted."""
    return sorted(
        {theme for theme in (*themes_v1.split(";"), *(block.rpartition(",")[0] for block in themes_v2.split(";"))) if theme}
    )


def _rejection(record: _Record, matches: Sequence[Match], error: _BrokenRecordError) -> Rejection:
    return Rejection(
        source_table=NEWS_MENTIONS.address,
        source_name=f"{record['gkg_date']}.gkg.csv",
        reference=record["gkg_record_id"],
        reason=error.reason,
        message=str(error),
        ticker=matches[0].ticker if len(matches) == 1 else None,
        raw_text="\t".join((record["gkg_record_id"], record["document_identifier"], record["tone_v15"], record["gcam"])),
        day_date=record["day_date"],
    )
