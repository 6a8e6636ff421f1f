"""Errors as a ClickHouse server tells them: a code, a name and a text, and the HTTP status that goes with the code."""

import re

_CODE = re.compile(r"Code: (\d+)\. ")

_STATUS_OF_CODE = {
    **dict.fromkeys(
        (
            36,
            38,
            41,
            42,
            43,
            44,
            53,
            62,
            69,
            70,
            72,
            6,
            26,
            27,
            33,
            117,
            307,
            321,
            323,
            396,
            427,
            441,
            456,
            457,
            40,
            89,
            371,
            373,
        ),
        400,
    ),
    **dict.fromkeys((46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 195, 336, 372, 511), 404),
    **dict.fromkeys((192, 193, 497, 516), 403),
    **dict.fromkeys((159, 160), 408),
    **dict.fromkeys((48, 344), 501),
    **dict.fromkeys((202, 209, 439, 503), 503),
    194: 401,
    241: 500,
}
"""HTTP statuses of a ClickHouse server (HTTPHandler::exceptionCodeToHTTPStatus); any other code is a 500."""


class ClickHouseError(Exception):
    """A statement or request that was refused or failed; `code` is ClickHouse's number, `str()` its text with code and name."""

    def __init__(self, code: int, name: str, reason: str) -> None:
        super().__init__(f"Code: {code}. DB::Exception: {reason}. ({name})")
        self.code = code

    @property
    def http_status(self) -> int:
        """Status a server answers with."""
        return _STATUS_OF_CODE.get(self.code, 500)


class EngineError(ClickHouseError):
    """What the engine itself said, passed on word for word."""

    def __init__(self, text: str) -> None:
        found = _CODE.search(text)
        if found:
            Exception.__init__(self, text[found.start() :])
            self.code = int(found.group(1))
        else:
            # The library's own words.
            code, name = (73, "UNKNOWN_FORMAT") if "output format" in text else (1002, "UNKNOWN_EXCEPTION")
            ClickHouseError.__init__(self, code, name, text)


def access_denied(user: str, what: str) -> ClickHouseError:
    """The user's rights do not hold what the statement needs."""
    return ClickHouseError(497, "ACCESS_DENIED", f"{user}: Not enough privileges: {what}")


def not_in_readonly(user: str, what: str) -> ClickHouseError:
    """The statement would change something for which the user may only read."""
    return ClickHouseError(164, "READONLY", f"{user}: {what} in readonly mode")


def unexpected(error: Exception) -> ClickHouseError:
    """An error that nobody foresaw, as a server tells one: with a code, and without what it was about."""
    return ClickHouseError(1002, "UNKNOWN_EXCEPTION", f"Error of the endpoint itself ({type(error).__name__}), see its log")
