"""The generated GKG rows: their form, their determinism, their label."""

import html
import re
from collections import Counter
from datetime import UTC, datetime

import pytest

from finlake_services.sample_sources import news

SLOTS = [news.FIRST_LABEL, datetime(2018, 3, 14, 15, 0, tzinfo=UTC), datetime(2018, 3, 18, 9, 15, tzinfo=UTC), news.LAST_LABEL]


def _rows(label: datetime) -> list[list[str]]:
    lines = news.slot_rows(label).split(b"\n")
    assert lines.pop() == b""
    return [line.decode("utf-8", errors="replace").split("\t") for line in lines]


@pytest.mark.parametrize("label", SLOTS)
def test_every_row_has_27_fields_and_the_stamp_of_its_slot(label: datetime) -> None:
    rows = _rows(label)
    assert 25 <= len(rows) <= 60
    stamp = label.strftime("%Y%m%d%H%M%S")
    for serial, row in enumerate(rows):
        assert len(row) == 27
        assert row[0] == f"{stamp}-{serial}"
        assert row[1] == stamp


@pytest.mark.parametrize("label", SLOTS)
def test_the_tone_identities_hold(label: datetime) -> None:
    for row in _rows(label):
        tone, positive, negative, polarity, _, _, words = (float(part) for part in row[15].split(","))
        assert tone == pytest.approx(positive - negative, abs=1e-9)
        assert polarity == pytest.approx(positive + negative, abs=1e-9)
        assert row[17].startswith(f"wc:{words:.0f},")


def test_every_row_says_that_it_is_generated() -> None:
    for label in SLOTS:
        for row in _rows(label):
            assert row[3].endswith(".generated.finlake.example")
            assert re.match(r"https://\w+\.generated\.finlake\.example/", row[4])
            assert "<PAGE_TITLE>[generated] " in row[26]


def test_the_same_slot_has_the_same_bytes_whatever_was_asked_before() -> None:
    label = datetime(2018, 3, 15, 12, 30, tzinfo=UTC)
    before = news.slot_rows(label)
    for other in SLOTS:
        news.slot_rows(other)
    news._stories.cache_clear()
    assert news.slot_rows(label) == before


def test_stories_are_syndicated_and_companies_and_traps_are_among_them() -> None:
    rows = [row for label in news.labels()[:96] for row in _rows(label)]
    titles = Counter(html.unescape(row[26].split("<PAGE_TITLE>")[1]) for row in rows)
    assert sum(1 for count in titles.values() if count > 1) > 100
    organizations = Counter(name for row in rows for name in row[13].split(";") if name)
    for name in ("apple inc", "microsoft", "ibm", "google", "facebook inc", "facebook", "twitter", "apple"):
        assert organizations[name] > 5, name


def test_weekends_and_nights_have_fewer_rows() -> None:
    busy = [len(_rows(label)) for label in news.labels() if label.weekday() == 2 and 14 <= label.hour < 20]
    quiet = [len(_rows(label)) for label in news.labels() if label.weekday() == 6 and 14 <= label.hour < 20]
    assert min(busy) > sum(quiet) / len(quiet)


def test_some_bytes_are_latin_1_and_some_page_times_are_after_the_label() -> None:
    bodies = {label: news.slot_rows(label) for label in news.labels()[:200]}
    assert any(b"Ren\xe9 Sample" in body for body in bodies.values())
    late = [
        stamp
        for label, body in bodies.items()
        for stamp in re.findall(rb"<PAGE_PRECISEPUBTIMESTAMP>(\d{14})<", body)
        if stamp.decode() > label.strftime("%Y%m%d%H%M%S")
    ]
    assert late
