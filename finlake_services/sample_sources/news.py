"""Generated GKG 2.1 rows for the demo window, the same for the same slot on every machine.

No article exists behind a row: hosts end in `generated.finlake.example`, titles begin with `[generated]`. The form is
the vendor's: 27 tab-separated fields, the tone identities, syndicated copies, share buttons, HTML references, bare
quotes, a page time after the label, now and then a Latin-1 byte.
"""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from random import Random
from zoneinfo import ZoneInfo

SLOT = timedelta(minutes=15)
# The slots of 2018-03-12 to 2018-03-27 in America/New_York, both days whole.
FIRST_LABEL = datetime(2018, 3, 12, 4, 0, tzinfo=UTC)
LAST_LABEL = datetime(2018, 3, 28, 3, 45, tzinfo=UTC)
HOST = "generated.finlake.example"
TITLE_MARK = "[generated]"
STAMP_FORMAT = "%Y%m%d%H%M%S"

_NEW_YORK = ZoneInfo("America/New_York")
_SYNDICATION_SLOTS = 6
_OUTLETS = (
    "herald",
    "tribune",
    "courier",
    "gazette",
    "ledger",
    "observer",
    "wire",
    "marketdesk",
    "techbrief",
    "dailypost",
    "chronicle",
    "register",
    "bulletin",
    "standard",
    "argus",
    "examiner",
)
_SHARE_BUTTONS = (("facebook", "Facebook"), ("twitter", "Twitter"), ("instagram", "Instagram"), ("google", "Google"))


@dataclass(frozen=True)
class _Company:
    name: str
    organization: str
    enhanced: str
    exchange_code: str
    people: tuple[str, ...]
    products: tuple[str, ...]


_COMPANIES = (
    _Company("Apple", "apple inc", "Apple Inc", "NASDAQ:AAPL", ("Tim Cook",), ("iPhone", "iPad", "App Store")),
    _Company("Microsoft", "microsoft", "Microsoft", "NASDAQ:MSFT", ("Satya Nadella",), ("Windows", "Azure", "Office")),
    _Company("IBM", "ibm", "Ibm", "NYSE:IBM", ("Ginni Rometty",), ("Watson", "mainframe", "cloud")),
    _Company("Google", "google", "Google", "NASDAQ:GOOGL", ("Sundar Pichai",), ("Android", "Search", "YouTube")),
    _Company("Alphabet", "alphabet inc", "Alphabet Inc", "NASDAQ:GOOGL", ("Sundar Pichai",), ("Waymo", "Search")),
    _Company("Facebook", "facebook inc", "Facebook Inc", "NASDAQ:FB", ("Mark Zuckerberg",), ("Instagram", "News Feed")),
)

# (title, tone bias from -1 to 1, is it about markets)
_COMPANY_TITLES: tuple[tuple[str, float, bool], ...] = (
    ("{c} shares rise as investors await quarterly results", 0.7, True),
    ("{c} shares fall with the broader market", -0.7, True),
    ("{c} stock little changed in quiet trading", 0.0, True),
    ("{c} ({x}) price target raised by analysts", 0.6, True),
    ("{c} ({x}) price target cut by analysts", -0.5, True),
    ("Analysts split on {c} after a strong year", 0.1, True),
    ("{c} earnings preview: what to watch this quarter", 0.1, True),
    ("{c} shows new {p} features to developers", 0.6, False),
    ("{c} delays a {p} update, citing further testing", -0.5, False),
    ("Schools try {p} lessons in a {c} pilot", 0.5, False),
    ("Column: why {c} still matters to {p} users", 0.2, False),
    ("Users report slow {p} service; {c} says it is fixed", -0.4, False),
    ("{c} opens office, plans to hire engineers", 0.6, False),
    ('Review: "{p}" from {c} &#x2013; better, not perfect', 0.2, False),
)
_OTHER_TITLES: tuple[tuple[str, float], ...] = (
    ("Council approves new bus lanes after long debate", 0.1),
    ("Storm brings heavy rain and flooded roads to the coast", -0.8),
    ("Local team wins the championship in extra time", 0.8),
    ("Hospital opens a wing for children", 0.6),
    ("Police investigate burglary at a warehouse", -0.8),
    ("Farmers expect a late apple harvest after the frost", -0.3),
    ("Recipe: apple pie with a crisp crust", 0.6),
    ("Museum shows letters by Gerald Ford", 0.2),
    ("Teachers and district reach agreement on pay", 0.4),
    ("Water main repair closes a street for two days", -0.3),
    ("Festival draws record crowds downtown", 0.7),
    ("Court hears appeal in land dispute", -0.3),
    ("Fundado: caf&#xE9; reabre en el centro", 0.3),
    ("Rainforest researchers map the upper Amazon", 0.3),
)
_MARKET_THEMES = ("ECON_STOCKMARKET", "TAX_FNCACT_ANALYST", "WB_698_TRADE", "TAX_FNCACT_INVESTOR")
_TECH_THEMES = ("SOC_INNOVATION", "WB_133_INFORMATION_AND_COMMUNICATION_TECHNOLOGIES", "TAX_FNCACT_ENGINEERS")
_OTHER_THEMES = ("LEADER", "TAX_FNCACT_POLICE", "EDUCATION", "GENERAL_HEALTH", "SOC_POINTSOFINTEREST", "MEDIA_MSM")
_PLACES = (
    ("3#New York, United States#US#USNY#42.1497#-74.9384#NY", "3#New York, United States#US#USNY##42.1497#-74.9384#NY"),
    ("2#California, United States#US#USCA#36.17#-119.746#CA", "2#California, United States#US#USCA##36.17#-119.746#CA"),
    ("1#United Kingdom#UK#UK#54#-2#UK", "1#United Kingdom#UK#UK##54#-2#UK"),
)


@dataclass(frozen=True)
class _Story:
    """An article before outlets print it; copies share everything here."""

    title: str
    word_count: int
    positive_words: int
    negative_words: int
    themes: tuple[str, ...]
    # (V1 form, V2 form, character offset)
    organizations: tuple[tuple[str, str, int], ...]
    # (V2 form, character offset)
    people: tuple[tuple[str, int], ...]
    names: tuple[tuple[str, int], ...]
    place: int
    slug: str


def labels() -> list[datetime]:
    """All slot labels of the demo window, oldest first, UTC."""
    count = (LAST_LABEL - FIRST_LABEL) // SLOT + 1
    return [FIRST_LABEL + SLOT * index for index in range(count)]


def is_in_window(label: datetime) -> bool:
    """Whether generated rows exist for a label."""
    return FIRST_LABEL <= label <= LAST_LABEL and (label - FIRST_LABEL) % SLOT == timedelta(0)


def slot_rows(label: datetime) -> bytes:
    """The raw CSV of one slot: 28 to 60 rows, fewer at night and at weekends, newline after every row."""
    rng = Random(f"rows {label:{STAMP_FORMAT}}")
    recent = [_stories(label - SLOT * age) for age in range(1, _SYNDICATION_SLOTS + 1) if is_in_window(label - SLOT * age)]
    printed = [(story, rng.choice(_OUTLETS)) for story in _stories(label)]
    for stories in recent:
        printed += [(story, rng.choice(_OUTLETS)) for story in rng.sample(stories, k=rng.randint(1, 3))]
    rng.shuffle(printed)
    stamp = label.strftime(STAMP_FORMAT)
    return b"".join(_row(label, stamp, serial, *item, rng) for serial, item in enumerate(printed))


@lru_cache(maxsize=64)
def _stories(label: datetime) -> tuple[_Story, ...]:
    rng = Random(f"stories {label:{STAMP_FORMAT}}")
    local = label.astimezone(_NEW_YORK)
    is_busy = local.weekday() < 5 and 7 <= local.hour < 20
    count = rng.randint(34, 42) if is_busy else rng.randint(22, 30)
    company_share = 0.45 if local.weekday() < 5 else 0.25
    return tuple(_company_story(rng, local.date()) if rng.random() < company_share else _other_story(rng) for _ in range(count))


def _mood(company: _Company, day: date) -> float:
    """How kind the news of one day is to a company, around 0."""
    return Random(f"mood {company.name} {day.isoformat()}").gauss(0, 0.5)


def _company_story(rng: Random, day: date) -> _Story:
    company = rng.choice(_COMPANIES)
    product = rng.choice(company.products)
    if rng.random() < 0.06:
        title = f"Sample Capital sells {rng.randint(1, 90) * 100:,} shares of {company.name} ({company.exchange_code})"
        bias, is_market = 0.0, True
        prefix = "Insider Activity At"
        organizations = [(f"{prefix.lower()} {company.organization}", f"{prefix} {company.enhanced}", 640)]
    else:
        template, bias, is_market = rng.choice(_COMPANY_TITLES)
        title = template.format(c=company.name, x=company.exchange_code, p=product)
        organizations = [(company.organization, company.enhanced, rng.randint(40, 400))]
    if rng.random() < 0.12:
        other = rng.choice(_COMPANIES)
        if other.organization != company.organization:
            organizations.append((other.organization, other.enhanced, rng.randint(900, 1500)))
    title = f"{title}, item {rng.randint(1, 9999)}"
    bias += _mood(company, day)
    names = [(company.name, rng.randint(10, 60)), (product, rng.randint(300, 800))]
    people = [(rng.choice(company.people), rng.randint(200, 900))] if rng.random() < 0.4 else []
    themes = _MARKET_THEMES if is_market else _TECH_THEMES
    return _story(rng, title, bias, (*themes, rng.choice(_OTHER_THEMES)), organizations, people, names)


def _other_story(rng: Random) -> _Story:
    title, bias = rng.choice(_OTHER_TITLES)
    title = f"{title} ({rng.choice(_OUTLETS).title()} County, no. {rng.randint(1, 999)})"
    organizations: list[tuple[str, str, int]] = []
    names = [(word, 20 + 40 * index) for index, word in enumerate(("County Council", "Main Street"))]
    if rng.random() < 0.3:
        # Share buttons below the text: an organisation to the extractor, not a story about the company.
        organizations = [(*button, 3000 + 20 * index) for index, button in enumerate(rng.sample(_SHARE_BUTTONS, k=2))]
    if "apple" in title.lower():
        organizations.append(("apple", "Apple", 55))
    if rng.random() < 0.08:
        names.append(("Apple Podcasts", 3200))
    if "Gerald Ford" in title:
        names.append(("Gerald Ford", 24))
    themes = tuple(rng.sample(_OTHER_THEMES, k=3))
    return _story(rng, title, bias, themes, organizations, [], names)


def _story(
    rng: Random,
    title: str,
    bias: float,
    themes: tuple[str, ...],
    organizations: Sequence[tuple[str, str, int]],
    people: Sequence[tuple[str, int]],
    names: Sequence[tuple[str, int]],
) -> _Story:
    word_count = rng.randint(120, 1100)
    positive_share = max(0.0, rng.gauss(2.4 + 1.6 * bias, 0.8)) / 100
    negative_share = max(0.0, rng.gauss(2.8 - 1.6 * bias, 0.8)) / 100
    return _Story(
        title=title,
        word_count=word_count,
        positive_words=round(word_count * positive_share),
        negative_words=round(word_count * negative_share),
        themes=themes,
        organizations=tuple(organizations),
        people=tuple(people),
        names=tuple(names),
        place=rng.randrange(len(_PLACES)),
        slug=f"{rng.getrandbits(40):010x}",
    )


def _number(value: float) -> str:
    return f"{value:.15g}"


def _joined(pairs: Sequence[tuple[str, int]]) -> str:
    return ";".join(f"{name},{offset}" for name, offset in pairs)


def _page_time(label: datetime, rng: Random) -> str:
    """Usually some minutes before the label; sometimes an hour ahead, as papers do that write local time as UTC."""
    minutes = rng.randint(16, 90)
    return (label - timedelta(minutes=minutes - (105 if rng.random() < 0.04 else 0))).strftime(STAMP_FORMAT)


def _row(label: datetime, stamp: str, serial: int, story: _Story, outlet: str, rng: Random) -> bytes:
    host = f"{outlet}.{HOST}"
    url = f"https://{host}/{label:%Y/%m/%d}/{story.slug}"
    percent = 100 / story.word_count
    positive, negative = story.positive_words * percent, story.negative_words * percent
    tone = (positive - negative, positive, negative, positive + negative, 18 + 8 * rng.random(), 2 * rng.random())
    place, enhanced_place = _PLACES[story.place]
    author = "Ren\xe9 Sample" if rng.random() < 0.002 else "A. Sample"
    extras = (
        f"<PAGE_AUTHORS>{author}</PAGE_AUTHORS>"
        + (f"<PAGE_PRECISEPUBTIMESTAMP>{_page_time(label, rng)}</PAGE_PRECISEPUBTIMESTAMP>" if rng.random() < 0.55 else "")
        + f"<PAGE_TITLE>{TITLE_MARK} {story.title}</PAGE_TITLE>"
    )
    quote = f"310|{len(story.title)}|said|{html.unescape(story.title)}" if rng.random() < 0.2 else ""
    fields = (
        f"{stamp}-{serial}",
        stamp,
        "1",
        host,
        url,
        "",
        "",
        "".join(f"{theme};" for theme in story.themes),
        "".join(f"{theme},{90 + 110 * index};" for index, theme in enumerate(story.themes)),
        place,
        f"{enhanced_place}#{rng.randint(10, 99)}",
        ";".join(name.lower() for name, _ in story.people),
        _joined(story.people),
        ";".join(v1 for v1, _, _ in story.organizations),
        _joined([(v2, offset) for _, v2, offset in story.organizations]),
        ",".join((*map(_number, tone), str(story.word_count))),
        f"1#0#0#2018#{rng.randint(50, 500)};",
        f"wc:{story.word_count},c12.1:{rng.randint(5, 60)},c14.1:{rng.randint(5, 60)}",
        f"https://{host}/images/{story.slug}.jpg",
        "",
        "",
        "",
        quote,
        _joined(story.names),
        f"{rng.randint(2, 90)},people in the room,{rng.randint(100, 900)};",
        "",
        extras,
    )
    # The accent of that author stays Latin-1: the one byte that is not UTF-8 in an otherwise clean file.
    return ("\t".join(fields) + "\n").encode("utf-8").replace("Ren\xe9".encode(), "Ren\xe9".encode("latin-1"))
