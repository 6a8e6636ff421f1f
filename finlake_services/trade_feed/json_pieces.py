"""JSON cut at its outermost commas, so that one value that cannot be read costs none of its neighbours.

Nothing but strings and brackets is looked at, once from the begin to the end and without recursion: values may be nested
at any depth and hold numbers of any length.
"""

import re
from collections.abc import Iterable

# A string without an end reaches to the end of the text: one look over it is enough.
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[\]{},]', re.DOTALL)


def cut(text: bytes, brackets: bytes) -> list[bytes] | None:
    """The parts between the outer `brackets` (`{}` or `[]`); None when the text is not enclosed by them, or not closed."""
    text = text.strip(b" \t\r\n")
    if len(text) < 2 or text[:1] != brackets[:1] or text[-1:] != brackets[1:]:
        return None
    parts, depth, start = [], 0, 1
    for token in _TOKEN.finditer(text):
        sign = token[0]
        if sign in (b"{", b"["):
            depth += 1
        elif sign in (b"}", b"]"):
            depth -= 1
            if depth == 0 and token.end() < len(text):
                return None
        elif sign == b"," and depth == 1:
            parts.append(text[start : token.start()].strip())
            start = token.end()
    if depth:
        return None
    last = text[start:-1].strip()
    return [*parts, last] if parts or last else []


def by_key(parts: Iterable[bytes]) -> dict[bytes, bytes]:
    """The values of an object by their keys in quotes; the last of equal keys, as decoders do."""
    found = {}
    for part in parts:
        key = _TOKEN.match(part)
        rest = part[key.end() :].lstrip() if key else b""
        if key and rest[:1] == b":":
            found[key[0]] = rest[1:].strip()
    return found
