"""`finlake prices`: the verdicts on downloads of prices, and what a person decides about them."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from finlake_cli.lake_commands import lake_jobs
from finlake_cli.stack_commands import DEFAULT_HOME, Home
from spark.contracts.rebuilding import rebuilding

app = typer.Typer(help="Verdicts on downloaded prices, and decisions about them.", no_args_is_help=True)

SHORTEST_HASH = 6

File = Annotated[str, typer.Argument(metavar="FILE_OR_HASH", help="The file's name, or the beginning of its SHA-256.")]
Ticker = Annotated[str, typer.Option("--ticker", help="The ticker whose prices the file holds.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept with the decision.")]


class UnknownDownloadError(LookupError):
    """No download, or more than one, is what was named; the message lists those that there are."""


@app.command()
def verdicts(
    ticker: Annotated[str | None, typer.Option(help="Only this ticker.")] = None,
    unused: Annotated[bool, typer.Option("--unused", help="Only files that are not used.")] = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """List every judged download in the order in which they were judged, with its verdict and the reason."""
    judged = lake_jobs(home).price_verdicts()
    shown = [each for each in judged if ticker in (None, each.ticker)]
    if ticker is not None and not shown:
        raise UnknownDownloadError(_none_of(ticker, (each.ticker for each in judged)))
    if unused:
        shown = [each for each in shown if not each.is_used]
    for each in shown:
        typer.echo(
            f"{each.ticker} {each.verdict}: {each.source_name} ({each.file_sha256[:12]}), obtained "
            f"{each.fetched_ts:%Y-%m-%d %H:%M}Z"
        )
        typer.echo(f"  {each.message}")
    typer.echo(f"{len(shown)} download{'' if len(shown) == 1 else 's'}, {sum(each.is_used for each in shown)} of them used")


@app.command()
def accept(file: File, ticker: Ticker, reason: Reason, home: Home = DEFAULT_HOME) -> None:
    """Use a download as it is, whatever the rule says of it."""
    _decide("accept", file, ticker, reason, home)


@app.command()
def drop(file: File, ticker: Ticker, reason: Reason, home: Home = DEFAULT_HOME) -> None:
    """Leave a download out, as if it had never come."""
    _decide("drop", file, ticker, reason, home)


@app.command()
def judge(file: File, ticker: Ticker, reason: Reason, home: Home = DEFAULT_HOME) -> None:
    """Take a decision back: the rule judges the download again."""
    _decide("judge", file, ticker, reason, home)


def _none_of(ticker: str, known: Iterable[str]) -> str:
    """That a ticker has no download, and which have one: a dropped file is one when a run has read it."""
    listed = ", ".join(sorted(set(known))) or "no ticker; a run reads what is dropped: `finlake run --from D --to D`"
    return f"no download of {ticker} is known; there are downloads of {listed}"


def found(downloads: Sequence[Mapping[str, Any]], named: str, ticker: str) -> Mapping[str, Any]:
    """The download of a ticker that is named by its file's name or the beginning of its hash.

    Raises `UnknownDownloadError` unless it is exactly one.
    """
    own = [row for row in downloads if row["ticker"] == ticker]
    by_hash = [row for row in own if len(named) >= SHORTEST_HASH and row["file_sha256"].startswith(named.lower())]
    matching = by_hash or [row for row in own if row["source_name"] == named]
    if len(matching) == 1:
        return matching[0]
    if not own:
        raise UnknownDownloadError(_none_of(ticker, (row["ticker"] for row in downloads)))
    problem = f"several downloads of {ticker} match" if matching else f"no download of {ticker} matches"
    listed = ", ".join(f"{row['source_name']} ({row['file_sha256'][:12]})" for row in (matching or own)[-10:])
    raise UnknownDownloadError(f"{problem} {named}; give one of these by its hash: {listed}")


def _decide(decision: str, named: str, ticker: str, reason: str, home: Path) -> None:
    import getpass

    if not reason.strip():
        raise typer.BadParameter("say why; the reason is kept with the decision", param_hint="--reason")
    jobs = lake_jobs(home)
    download = found(jobs.downloads(), named, ticker)
    jobs.decide(
        ticker=ticker,
        file_sha256=download["file_sha256"],
        source_name=download["source_name"],
        decision=decision,
        reason=reason.strip(),
        decided_by=getpass.getuser(),
        decided_ts=datetime.now(UTC),
    )
    typer.echo(f"{decision}: {download['source_name']} ({download['file_sha256'][:12]}) of {ticker}")
    first, last = jobs.shown_span(download["first_session_date"], download["last_session_date"])
    typer.echo(f"to judge again and show it: {rebuilding(first, last)}")
