"""GDELT records become mentions of the session they were known for, or rejections that say why."""

import re
import zipfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark.contracts.bronze import GDELT_GKG, GKG_FIELD_NAMES
from spark.contracts.silver import NEWS_MENTIONS, QUARANTINE
from spark.contracts.universe import Alias, Ticker, Universe, parse_universe
from spark.schemas import arrow_schema
from spark.transforms.bronze import gdelt_gkg
from spark.transforms.silver.company_names import Article, Match, Matcher, title_words
from spark.transforms.silver.news_mentions import UnknownSessionError, is_stock_bot, mentions, syndication_group

REPOSITORY = Path(__file__).parents[4]
UNIVERSE = Matcher.from_universe(parse_universe((REPOSITORY / "universe.toml").read_text()))
SLOT_TS = datetime(2023, 7, 2, 15, 30, tzinfo=UTC)
CLOSES = [
    (date(2023, 6, 30), datetime(2023, 6, 30, 20, tzinfo=UTC)),
    (date(2023, 7, 3), datetime(2023, 7, 3, 17, tzinfo=UTC)),
    (date(2025, 10, 30), datetime(2025, 10, 30, 20, tzinfo=UTC)),
    (date(2025, 10, 31), datetime(2025, 10, 31, 20, tzinfo=UTC)),
    (date(2025, 11, 3), datetime(2025, 11, 3, 21, tzinfo=UTC)),
    (date(2025, 11, 26), datetime(2025, 11, 26, 21, tzinfo=UTC)),
    (date(2025, 11, 28), datetime(2025, 11, 28, 18, tzinfo=UTC)),
    (date(2025, 12, 1), datetime(2025, 12, 1, 21, tzinfo=UTC)),
    (date(2026, 3, 5), datetime(2026, 3, 5, 21, tzinfo=UTC)),
    (date(2026, 3, 6), datetime(2026, 3, 6, 21, tzinfo=UTC)),
    (date(2026, 3, 9), datetime(2026, 3, 9, 20, tzinfo=UTC)),
    (date(2026, 3, 10), datetime(2026, 3, 10, 20, tzinfo=UTC)),
]
POLARS_SCHEMA = pl.DataFrame(arrow_schema(GDELT_GKG).empty_table()).schema


class EverythingMatcher(Matcher):
    """Every record is about one company."""

    def candidates(self, article: Article) -> tuple[str, ...]:
        return ("EVERY",)

    def matches(self, article: Article) -> tuple[Match, ...]:
        return (Match(ticker="EVERY", alias="every", field="title", rule="strong"),)


def record(slot_ts: datetime = SLOT_TS, serial: int = 0, **fields: object) -> dict[str, object]:
    """A bronze row about IBM with sound numbers."""
    label = slot_ts.strftime("%Y%m%d%H%M%S")
    return {
        **dict.fromkeys(GKG_FIELD_NAMES, ""),
        "gkg_record_id": f"{label}-{serial}",
        "gkg_date": label,
        "organizations_v1": "ibm",
        "tone_v15": "1.5,2.5,1,3.5,20,0.5,200",
        "gcam": "wc:200,c1.1:3",
        "slot_ts": slot_ts,
        "day_date": slot_ts.astimezone(ZoneInfo("America/New_York")).date(),
        "line_number": serial + 1,
        "invalid_byte_count": 0,
        "file_md5": "0" * 32,
        "is_generated": False,
        **fields,
    }


def frame(*records: dict[str, object]) -> pl.DataFrame:
    return pl.DataFrame(
        [{name: row[name] for name in GDELT_GKG.column_names} for row in records], schema=POLARS_SCHEMA, orient="row"
    )


def one(**fields: object) -> dict[str, Any]:
    found, rejected = mentions(frame(record(**fields)), UNIVERSE, CLOSES)  # type: ignore[arg-type]
    assert rejected.height == 0
    [row] = found.to_dicts()
    return row


def session_of(slot_ts: datetime) -> date:
    session: date = one(slot_ts=slot_ts)["session_date"]
    return session


@pytest.fixture(scope="module")
def real_rows() -> pl.DataFrame:
    with zipfile.ZipFile(REPOSITORY / "tests" / "data" / "gdelt" / "20230702153000.gkg.csv.zip") as archive:
        content = archive.read("20230702153000.gkg.csv")
    parsed = gdelt_gkg.parse(content, slot_ts=SLOT_TS, day_date=SLOT_TS.date(), file_md5="0" * 32, matcher=EverythingMatcher(()))
    return pl.DataFrame(parsed.rows)


def test_both_results_have_the_columns_and_types_of_their_contracts() -> None:
    for rows in (frame(), frame(record(), record(serial=1, tone_v15="?"))):
        found, rejected = mentions(rows, UNIVERSE, CLOSES)
        assert found.to_arrow().cast(arrow_schema(NEWS_MENTIONS)).schema.names == list(NEWS_MENTIONS.column_names)
        assert found.schema == pl.DataFrame(arrow_schema(NEWS_MENTIONS).empty_table()).schema
        assert rejected.columns == list(QUARANTINE.column_names)


def test_arrow_batches_and_polars_frames_give_the_same_mentions() -> None:
    rows = frame(record(), record(serial=1, organizations_v1="ibm;microsoft"))
    table = rows.to_arrow().cast(arrow_schema(GDELT_GKG))
    expected = mentions(rows, UNIVERSE, CLOSES)[0]
    assert expected.height == 3
    assert mentions(table, UNIVERSE, CLOSES)[0].equals(expected)
    assert mentions(table.to_batches()[0], UNIVERSE, CLOSES)[0].equals(expected)


def test_all_951_real_records_keep_the_identities_of_their_numbers(real_rows: pl.DataFrame) -> None:
    found, rejected = mentions(real_rows, EverythingMatcher(()), CLOSES)
    assert (found.height, rejected.height) == (951, 0)
    assert found.filter((pl.col("tone") - pl.col("positive_pct") + pl.col("negative_pct")).abs() > 1e-9).height == 0
    assert set(found["session_date"].to_list()) == {date(2023, 7, 3)}
    assert found.filter(pl.col("title") == "").height == 0
    assert found.filter(pl.col("title").str.contains(r"&#x?[0-9a-fA-F]+;")).height == 0


def test_no_real_stamp_lies_after_the_slot_although_21_say_so(real_rows: pl.DataFrame) -> None:
    found, _ = mentions(real_rows, EverythingMatcher(()), CLOSES)
    assert found["published_ts"].is_not_null().sum() == 460
    assert (found["published_ts"] == SLOT_TS).sum() >= 21
    assert (found["published_ts"] > found["available_ts"]).sum() == 0


def test_192_real_records_share_their_title_and_so_their_story(real_rows: pl.DataFrame) -> None:
    found, _ = mentions(real_rows, EverythingMatcher(()), CLOSES)
    shared = found.filter(pl.len().over("title") > 1)
    assert shared.height == 192
    assert found.filter(pl.len().over("syndication_group") > 1).height >= 192
    assert (
        shared.group_by("title").agg(pl.col("syndication_group").n_unique()).filter(pl.col("syndication_group") > 1).height == 0
    )
    assert found.group_by("syndication_group").len().get_column("len").max() == 11  # ten equal titles, one other spelling


def test_share_buttons_of_the_real_slot_are_no_news_about_facebook(real_rows: pl.DataFrame) -> None:
    buttons = real_rows.filter(pl.col("organizations_v1").str.split(";").list.contains("facebook"))
    assert buttons.height == 23
    found, _ = mentions(real_rows, UNIVERSE, CLOSES)
    assert found.height == 0


def test_every_listed_company_template_of_the_real_slot_is_known_as_stock_bot(real_rows: pl.DataFrame) -> None:
    found, _ = mentions(real_rows, EverythingMatcher(()), CLOSES)
    assert set(found.filter("is_stock_bot")["source_name"].to_list()) == {"kopsource.com"}
    assert found.filter(pl.col("source_name") == "kopsource.com")["is_stock_bot"].all()
    listed = [title for title in found.filter("is_stock_bot")["title"].to_list() if re.search(r"\([A-Z]+:[A-Z]+\)", title)]
    assert len(listed) == 13
    assert all(is_stock_bot("other.com", title) for title in listed)


def test_a_headline_about_a_listed_company_is_no_template() -> None:
    assert not is_stock_bot("reuters.com", "IBM (NYSE:IBM) has a new position on quantum computing")
    assert not is_stock_bot("reuters.com", "Fund sells 16,438 shares of IBM")


@pytest.mark.parametrize(
    ("slot_ts", "session"),
    [
        (datetime(2026, 3, 6, 21, 0, tzinfo=UTC), date(2026, 3, 6)),
        (datetime(2026, 3, 6, 21, 0, 1, tzinfo=UTC), date(2026, 3, 9)),
        (datetime(2026, 3, 6, 21, 15, tzinfo=UTC), date(2026, 3, 9)),
        (datetime(2026, 3, 8, 12, 0, tzinfo=UTC), date(2026, 3, 9)),
        (datetime(2026, 3, 9, 20, 0, tzinfo=UTC), date(2026, 3, 9)),
        (datetime(2026, 3, 9, 20, 15, tzinfo=UTC), date(2026, 3, 10)),
        (datetime(2026, 3, 10, 0, 30, tzinfo=UTC), date(2026, 3, 10)),
        (datetime(2025, 10, 31, 20, 0, tzinfo=UTC), date(2025, 10, 31)),
        (datetime(2025, 10, 31, 20, 15, tzinfo=UTC), date(2025, 11, 3)),
        (datetime(2025, 11, 3, 20, 15, tzinfo=UTC), date(2025, 11, 3)),
        (datetime(2025, 11, 3, 21, 0, tzinfo=UTC), date(2025, 11, 3)),
        (datetime(2025, 11, 27, 15, 0, tzinfo=UTC), date(2025, 11, 28)),
        (datetime(2025, 11, 28, 18, 0, tzinfo=UTC), date(2025, 11, 28)),
        (datetime(2025, 11, 28, 18, 15, tzinfo=UTC), date(2025, 12, 1)),
        (datetime(2023, 7, 2, 15, 30, tzinfo=UTC), date(2023, 7, 3)),
    ],
    ids=[
        "winter_close",
        "a_second_later",
        "next_slot",
        "sunday_of_the_change",
        "summer_close",
        "after_summer_close",
        "evening_in_new_york",
        "last_summer_close",
        "after_last_summer_close",
        "fifteen_past_eight_in_winter",
        "first_winter_close",
        "thanksgiving",
        "half_day_close",
        "after_half_day",
        "sunday",
    ],
)
def test_news_belongs_to_the_session_whose_close_comes_next(slot_ts: datetime, session: date) -> None:
    assert session_of(slot_ts) == session


@pytest.mark.parametrize(
    ("slot_ts", "hint"),
    [
        (datetime(2026, 3, 10, 20, 15, tzinfo=UTC), "extend the closes by the sessions that follow"),
        (datetime(2023, 6, 30, 19, 45, tzinfo=UTC), "extend the closes backwards"),
    ],
)
def test_news_outside_the_known_closes_is_refused_not_lost(slot_ts: datetime, hint: str) -> None:
    with pytest.raises(UnknownSessionError, match=hint):
        session_of(slot_ts)


def test_without_any_close_the_first_article_is_refused() -> None:
    with pytest.raises(UnknownSessionError, match="none"):
        mentions(frame(record()), UNIVERSE, [])


def test_a_record_about_no_company_is_no_mention_and_no_rejection() -> None:
    found, rejected = mentions(frame(record(organizations_v1="facebook", tone_v15="?")), UNIVERSE, CLOSES)
    assert (found.height, rejected.height) == (0, 0)


def test_a_mention_carries_the_columns_of_its_record() -> None:
    row = one(
        source_common_name="wire.com",
        document_identifier="https://wire.com/1",
        themes_v1="B;A;",
        themes_v2="A,5;C,1;A,9;",
        extras_xml="<PAGE_PRECISEPUBTIMESTAMP>20230702120000</PAGE_PRECISEPUBTIMESTAMP><PAGE_TITLE>IBM &amp; more</PAGE_TITLE>",
    )
    assert row["title"] == "IBM & more"
    assert (row["source_name"], row["document_url"]) == ("wire.com", "https://wire.com/1")
    assert row["themes"] == ["A", "B", "C"]
    assert (row["available_ts"], row["published_ts"]) == (SLOT_TS, datetime(2023, 7, 2, 12, tzinfo=UTC))
    assert [
        row[name]
        for name in (
            "tone",
            "positive_pct",
            "negative_pct",
            "polarity_pct",
            "activity_density_pct",
            "self_group_density_pct",
            "word_count",
        )
    ] == [1.5, 2.5, 1.0, 3.5, 20.0, 0.5, 200]
    assert (row["ticker"], row["matched_alias"], row["matched_field"], row["match_rule"]) == (
        "IBM",
        "ibm",
        "organization",
        "strong",
    )
    assert (row["is_translated"], row["is_stock_bot"], row["is_generated"]) == (False, False, False)


def test_translated_and_generated_records_are_marked() -> None:
    row = one(gkg_record_id="20230702153000-T12", is_generated=True)
    assert (row["is_translated"], row["is_generated"]) == (True, True)


@pytest.mark.parametrize(
    ("stamp", "expected"), [("20230702163000", SLOT_TS), ("20231302000000", None), ("2023070212", None), ("", None)]
)
def test_a_page_stamp_is_capped_at_the_slot_and_left_out_when_it_is_no_time(stamp: str, expected: datetime | None) -> None:
    assert one(extras_xml=f"<PAGE_PRECISEPUBTIMESTAMP>{stamp}</PAGE_PRECISEPUBTIMESTAMP>")["published_ts"] == expected


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"tone_v15": ""}, "unparseable_tone"),
        ({"tone_v15": "1.5,2.5,1,3.5,20,0.5"}, "unparseable_tone"),
        ({"tone_v15": "nan,2.5,1,3.5,20,0.5,200"}, "unparseable_tone"),
        ({"tone_v15": "1_5,2.5,1,3.5,20,0.5,200"}, "unparseable_tone"),
        ({"tone_v15": "1.5,2.5,1,3.5,20,0.5,200.5"}, "unparseable_tone"),
        ({"tone_v15": "1.5,2.5,1,3.5,1e999,0.5,200"}, "unparseable_tone"),
        ({"tone_v15": "1.5,2.5,1,3.5,20,0.5,20000000000"}, "unparseable_tone"),
        ({"tone_v15": "1.6,2.5,1,3.5,20,0.5,200"}, "tone_identity_broken"),
        ({"tone_v15": "1.5,2.5,1,3.6,20,0.5,200"}, "tone_identity_broken"),
        ({"gcam": "wc:201,c1.1:3"}, "word_count_mismatch"),
    ],
)
def test_a_record_whose_numbers_contradict_each_other_is_rejected(fields: dict[str, str], reason: str) -> None:
    found, rejected = mentions(frame({**record(serial=7), **fields}, record(serial=8)), UNIVERSE, CLOSES)
    assert found["gkg_record_id"].to_list() == ["20230702153000-8"]
    [row] = rejected.to_dicts()
    assert (row["reason"], row["reference"], row["ticker"]) == (reason, "20230702153000-7", "IBM")
    assert (row["source_table"], row["day_date"]) == ("silver.news_mentions", date(2023, 7, 2))
    assert "compare the record with the slot file" in row["message"]


def test_a_rejected_record_about_two_companies_is_one_rejection_of_none_of_them() -> None:
    _, rejected = mentions(frame(record(organizations_v1="ibm;microsoft", tone_v15="?")), UNIVERSE, CLOSES)
    assert rejected["ticker"].to_list() == [None]


def test_a_record_without_gcam_is_judged_by_its_tone_alone() -> None:
    assert one(gcam="")["word_count"] == 200


def test_copies_of_a_story_share_a_group_within_a_session_and_untitled_articles_stand_alone() -> None:
    monday, tuesday = date(2026, 3, 9), date(2026, 3, 10)
    assert syndication_group("IBM’s New  Chip!", monday, "a") == syndication_group("ibm new chip", monday, "b")
    assert syndication_group("IBM New Chip", monday, "a") != syndication_group("IBM New Chip", tuesday, "a")
    assert syndication_group("", monday, "a") != syndication_group("", monday, "b")
    assert syndication_group("?!", monday, "a") == syndication_group("", monday, "a")


def test_mentions_are_ordered_and_do_not_depend_on_the_cut_of_the_input() -> None:
    records = [
        record(SLOT_TS + timedelta(minutes=15 * (n % 3)), serial=n, organizations_v1="ibm;microsoft" if n % 2 else "ibm")
        for n in range(6)
    ]
    whole, _ = mentions(frame(*records), UNIVERSE, CLOSES)
    cut = pl.concat([mentions(frame(row), UNIVERSE, CLOSES)[0] for row in reversed(records)]).sort(NEWS_MENTIONS.sort_order)
    assert whole.equals(cut)
    keys = whole.select(NEWS_MENTIONS.sort_order).rows()
    assert keys == sorted(keys)


TEXTS = st.text(max_size=30) | st.sampled_from(
    [
        "<PAGE_TITLE>ibm &#xD800; &#0;</PAGE_TITLE>",
        "ibm,5;;,;x",
        "1,1,0,1,0,0,5",
        "wc:5",
        "wc:٣",
        "1,1,0,1,1e999,0,5",
        f"1,1,0,1,0,0,{'9' * 5_000}",
        f"ibm,{'9' * 5_000}",
        f"wc:{'9' * 5_000}",
    ]
)


@settings(deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            {name: TEXTS for name in ("tone_v15", "gcam", "extras_xml", "themes_v2", "organizations_v2", "all_names")}
        ),
        max_size=4,
    )
)
def test_every_record_about_a_company_is_a_mention_or_a_rejection(odd: list[dict[str, str]]) -> None:
    found, rejected = mentions(frame(*({**record(serial=n), **fields} for n, fields in enumerate(odd))), UNIVERSE, CLOSES)
    ids = [*found.filter(pl.col("ticker") == "IBM")["gkg_record_id"].to_list(), *rejected["reference"].to_list()]
    assert sorted(ids) == [f"20230702153000-{n}" for n in range(len(odd))]


def test_the_title_of_a_context_word_needs_the_company_not_only_the_word() -> None:
    apple = Matcher.from_universe(
        Universe(
            tickers=(
                Ticker(
                    symbol="AAPL",
                    company="Apple",
                    stooq_code="aapl.us",
                    title_patterns=(),
                    company_words=("iphone",),
                    aliases=(Alias(name="apple", policy="context"),),
                ),
            )
        )
    )
    rows = frame(
        record(serial=0, organizations_v1="apple", extras_xml="<PAGE_TITLE>Harvest of the apple</PAGE_TITLE>"),
        record(serial=1, organizations_v1="apple", extras_xml="<PAGE_TITLE>iPhone sales</PAGE_TITLE>"),
    )
    found, _ = mentions(rows, apple, CLOSES)
    assert found["gkg_record_id"].to_list() == ["20230702153000-1"]
    assert title_words(found["title"].to_list()[0]) == ("iphone", "sales")
