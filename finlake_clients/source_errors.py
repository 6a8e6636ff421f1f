"""What a vendor can answer instead of data, as types, so that callers decide by type and people read what to do next.

A SourceRefusedError ends the whole run: asking for the next symbol would be refused too. Every other SourceError concerns
one symbol, file or slot. No message ever holds an API key.
"""

# ruff: noqa: N818 -- the names say what was found (no data, a challenge page), as callers read them in except clauses.


class SourceError(Exception):
    """Something a source gave, or did not give: the thing, the reason, the next step."""

    def __init__(self, thing: str, reason: str, next_step: str) -> None:
        super().__init__(thing, reason, next_step)
        self.thing = thing
        self.reason = reason
        self.next_step = next_step

    def __str__(self) -> str:
        return f"{self.thing}: {self.reason}. {self.next_step}."


class SourceRefusedError(SourceError):
    """The vendor refuses us, not one symbol; the run stops."""


class LimitReachedError(SourceRefusedError):
    """The daily quota of the vendor is used up."""


class ApiKeyNeededError(SourceRefusedError):
    """The vendor wants a key, or another key."""


class ChallengePageError(SourceRefusedError):
    """The vendor wants a browser that runs JavaScript; finlake does not try to pass for one."""


class AccessDeniedError(SourceRefusedError):
    """The vendor denies access to this address or client."""


class NoDataError(SourceError):
    """The vendor has nothing for this symbol; asking again will not help."""


class NotDataError(SourceError):
    """An answer or file in a form that is not the vendor's data: an unknown page, an empty body, another header."""


class TooLargeError(NotDataError):
    """More bytes, members, files or seconds than any real data of the vendor have; not read to its end."""


class CorruptFileError(SourceError):
    """A file that is complete but damaged."""


class HalfWrittenFileError(SourceError):
    """A dropped file that is still being written, or was cut off; it stays where it is for the next look."""


class UnknownTickerError(SourceError):
    """A dropped file that belongs to no ticker of the universe."""


class SourceUnavailableError(SourceError):
    """The source did not answer, or answered with a server error, however often it was asked."""
