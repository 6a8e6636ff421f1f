"""Patterns that read what others have written cost no more than the length of the text: none goes back over it."""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any

import pytest

PLACES = ("finlake_clients", "finlake_services.trade_feed", "spark.contracts", "spark.transforms")
# Of any character, or of all but a few: such a repeat takes whatever follows, and gives it back piece by piece.
WILD = {codes.ANY, codes.NOT_LITERAL, codes.NEGATE}
REPEATS = {codes.MAX_REPEAT, codes.MIN_REPEAT}


def wild_repeats(pattern: str, flags: int = 0) -> list[str]:
    """The boundless repeats of a pattern that are wild and have something behind them, or hold another boundless one."""
    return list(_faults(list(_parser.parse(pattern, flags)), follows=False, is_repeated=False))


def _faults(items: list[Any], *, follows: bool, is_repeated: bool) -> Iterator[str]:
    for position, (code, value) in enumerate(items):
        has_more = follows or position + 1 < len(items)
        if code in REPEATS:
            _, most, body = value
            is_boundless = most is codes.MAXREPEAT
            if is_boundless and has_more and _is_wild(list(body)):
                yield "a wild repeat with something behind it"
            if is_boundless and is_repeated and len(items) == 1:
                yield "a repeat of repeats"
            yield from _faults(list(body), follows=has_more, is_repeated=is_repeated or is_boundless)
        elif code is codes.SUBPATTERN:
            yield from _faults(list(value[-1]), follows=has_more, is_repeated=is_repeated)
        elif code is codes.BRANCH:
            for branch in value[1]:
                yield from _faults(list(branch), follows=has_more, is_repeated=is_repeated)


def _is_wild(body: list[Any]) -> bool:
    def is_wild(code: Any, value: Any) -> bool:
        if code is codes.IN:
            return any(is_wild(*each) for each in value) or (codes.CATEGORY, codes.CATEGORY_NOT_SPACE) in value
        if code is codes.SUBPATTERN:
            return _is_wild(list(value[-1]))
        return code in WILD

    return any(is_wild(code, value) for code, value in body)


def modules() -> list[str]:
    found = []
    for place in PLACES:
        package = importlib.import_module(place)
        found += [place, *(module.name for module in pkgutil.walk_packages(package.__path__, f"{place}."))]
    return found


def patterns(name: str) -> Iterator[re.Pattern[str]]:
    module = importlib.import_module(name)
    owners = [module, *(each for _, each in inspect.getmembers(module, inspect.isclass) if each.__module__ == name)]
    for owner in owners:
        yield from (value for value in vars(owner).values() if isinstance(value, re.Pattern))


@pytest.mark.parametrize("name", [name for name in modules() if "__main__" not in name])
def test_no_pattern_goes_back_over_the_text(name: str) -> None:
    assert {each.pattern: faults for each in patterns(name) if (faults := wild_repeats(each.pattern, each.flags))} == {}


@pytest.mark.parametrize("pattern", ["<A>(.*?)</A>", r"\S+/x$", "(a+)+$", "[^<]*x", "(?:.)*b", "(?:x|.*y)"])
def test_a_pattern_that_goes_back_is_found(pattern: str) -> None:
    assert wild_repeats(pattern)


@pytest.mark.parametrize("pattern", ["<A>.{0,40}</A>", r"[0-9]+(?:\.[0-9]+)?", r"key=[^&]*", r"a\s*:\s*b", "(?:[.-][A-Z]+)*"])
def test_a_pattern_that_does_not_is_left_alone(pattern: str) -> None:
    assert wild_repeats(pattern) == []
