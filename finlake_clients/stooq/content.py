"""Whether bytes are one ticker's daily prices in the form that their kind promises; the typed reason where they are not."""

from finlake_clients.bounded_zip import shown
from finlake_clients.source_errors import NotDataError, TooLargeError
from finlake_clients.stooq.prices_file import SourceKind
from finlake_clients.stooq.refusals import dropped_refusal_of, refusal_of
from spark.contracts.stooq_files import Form, OpenedFile, UnreadableFileError, open_file

LINE_ENDS = (b"\n", b"\r")
_WRONG_PLACE: dict[Form, tuple[str, str]] = {
    "csv": ("it holds rows of the bulk archive and is named as a CSV", "Name it <stooq code>.txt (aapl.us.txt)"),
    "bulk": (
        "it holds a CSV of one ticker and is named as a member of the bulk archive",
        "Name it <stooq code>_d.csv (aapl_us_d.csv)",
    ),
}


def classify(body: bytes, name: str = "Stooq answer", kind: SourceKind = "http") -> OpenedFile:
    """Accept a body that bronze can read, in the form of its kind; raise the typed reason for any other.

    Stooq answers HTTP 200 to everything, so the body decides. `name` is the thing named in the message.
    Raises NoDataError, LimitReachedError, ApiKeyNeededError, ChallengePageError, AccessDeniedError or NotDataError.
    """
    try:
        opened = open_file(body)
    except UnreadableFileError as fault:
        refusal = refusal_of(body, name) if kind == "http" else dropped_refusal_of(body, name)
        error = TooLargeError if fault.code == "too_large" else NotDataError
        raise refusal or error(name, fault.reason, fault.next_step) from None
    form: Form = "bulk" if kind == "bulk" else "csv"
    if opened.layout.form != form:
        raise NotDataError(name, *_WRONG_PLACE[form])
    return opened


def prices_of(content: bytes, vendor_code: str, name: str, kind: SourceKind) -> OpenedFile:
    """The content, opened; raises as `classify`, and NotDataError unless it is daily and its first row is of the code."""
    opened = classify(content, name, kind)
    layout = opened.layout
    fields = opened.lines[0][1].split(",")
    if layout.ticker is not None and layout.period is not None and len(fields) == layout.width:
        found, period = fields[layout.ticker].strip(), fields[layout.period].strip()
        if period.upper() != "D":
            raise NotDataError(name, f"its period is {shown(period)!r}, not daily", "Drop the daily archive, d_us_txt.zip")
        if found.lower() != vendor_code:
            raise NotDataError(name, f"its rows are of {shown(found)!r}", "Rename the file after the ticker its rows belong to")
    return opened
