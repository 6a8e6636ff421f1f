"""Which of several members of an archive speaks for a ticker: an exchange's folder may repeat what another one has."""

from dataclasses import dataclass
from datetime import date
from itertools import groupby

from finlake_clients.source_errors import NotDataError, SourceError
from finlake_clients.stooq.prices_file import StooqFile
from spark.contracts.stooq_files import open_file

_SHOWN_NAMES = 5


@dataclass(frozen=True)
class Member:
    """A member of an archive, read: its file and the newest date in it."""

    file: StooqFile
    last_date: date


def one_of_each(members: list[Member]) -> tuple[list[StooqFile], list[SourceError]]:
    """One file for each ticker, by ticker, and why the others were left out.

    It is the one with the newest date. Of several that end on it the first in the archive where their bars are equal, and
    none where they differ.
    """
    files: list[StooqFile] = []
    problems: list[SourceError] = []
    by_ticker = sorted(members, key=lambda member: member.file.ticker)
    for _, group in groupby(by_ticker, key=lambda member: member.file.ticker):
        contents = {member.file.sha256: member for member in reversed(list(group))}
        newest = max(member.last_date for member in contents.values())
        best = [member for member in contents.values() if member.last_date == newest]
        if len(best) > 1 and len({open_file(member.file.content).bars_sha256() for member in best}) == 1:
            # The same bars as a CSV and in the bulk form, or with other line ends.
            for member in best[:-1]:
                del contents[member.file.sha256]
            best = best[-1:]
        if len(best) == 1:
            files.append(best[0].file)
            problems += [_older(member, best[0]) for member in contents.values() if member is not best[0]]
        else:
            names = sorted(member.file.source_name for member in best)
            problems += [
                NotDataError(
                    member.file.source_name,
                    f"the archive has {len(contents)} members for {member.file.ticker} that differ and end on {newest}: "
                    f"{', '.join(names[:_SHOWN_NAMES])}",
                    "Drop the right one alone",
                )
                for member in contents.values()
            ]
    return files, problems


def _older(member: Member, chosen: Member) -> SourceError:
    return NotDataError(
        member.file.source_name,
        f"it ends on {member.last_date}, before {chosen.file.source_name}, which was taken for {member.file.ticker}",
        "Nothing need be done if that is the right one; else drop the right one alone",
    )
