"""The universe's prices in a zip archive: Stooq's bulk archive, or CSVs that someone packed."""

import zipfile
from collections.abc import Mapping
from datetime import date

from finlake_clients import bounded_zip
from finlake_clients.bounded_zip import shown
from finlake_clients.source_errors import NotDataError, SourceError, TooLargeError
from finlake_clients.stooq import byte_budget
from finlake_clients.stooq.byte_budget import ByteBudget
from finlake_clients.stooq.content import prices_of
from finlake_clients.stooq.file_names import kind_of, vendor_code_of
from finlake_clients.stooq.member_choice import Member, one_of_each
from finlake_clients.stooq.prices_file import Obtained, StooqBatch, prices_file
from finlake_clients.stooq.unread_members import nothing_wanted, passed_over
from spark.contracts.stooq_files import MAX_FILE_BYTES

_AGAIN = "Download the archive again"


def archived_files(
    archive: zipfile.ZipFile,
    name: str,
    obtained: Obtained,
    vendor_codes: Mapping[str, str],
    budget: ByteBudget,
) -> StooqBatch:
    """The universe's members of an archive, of the bulk form or CSVs; members of other tickers are not read.

    `obtained` is when the archive was obtained; `vendor_codes` maps Stooq's code to the ticker. A member that is empty,
    damaged, too large, not daily, or about another ticker than its name says is a problem. Of several members of one
    ticker the one with the newest session is taken; where these differ up to the same session, none.
    """
    wanted = {code.lower(): ticker for code, ticker in vendor_codes.items()}
    unpacked_bytes = 0
    members: list[Member] = []
    problems: list[SourceError] = []
    for info in archive.infolist():
        base_name = info.filename.replace("\\", "/").rsplit("/", 1)[-1]
        code = vendor_code_of(base_name)
        # A folder's name ends with a slash, so that nothing is left of it here; a damaged one may be empty.
        if code is None or code not in wanted:
            continue
        member_name = f"{name}!{shown(info.filename)}"
        try:
            _require_readable(info, member_name)
            # What is unpacked in vain counts for this archive alone, so that it keeps no other file out.
            unpacked_bytes += info.file_size
            _require_within_archive(unpacked_bytes, member_name)
            content = bounded_zip.member_bytes(archive, info, member_name, max_bytes=MAX_FILE_BYTES, next_step=_AGAIN)
            kind = kind_of(base_name)
            last_date = prices_of(content, code, member_name, kind).last_date() or date.min
            budget.take(len(content), member_name)
        except SourceError as problem:
            problems.append(problem)
        else:
            file = prices_file(wanted[code], content, kind, member_name, _member_obtained(info, last_date, obtained))
            members.append(Member(file, last_date))
    if (unread := passed_over(archive, name, wanted)) is not None:
        problems.append(unread)
    if not members and not problems:
        problems.append(nothing_wanted(archive, name))
    files, doubles = one_of_each(members)
    return StooqBatch(files, [*problems, *doubles])


def _require_readable(info: zipfile.ZipInfo, name: str) -> None:
    if (fault := bounded_zip.unread_packing(info)) is not None:
        raise NotDataError(name, fault, "Unpack the archive and drop the files that are in it")
    bounded_zip.require_bounded(info, name, max_bytes=MAX_FILE_BYTES, next_step=_AGAIN)


def _require_within_archive(unpacked_bytes: int, name: str) -> None:
    if unpacked_bytes > byte_budget.MAX_BATCH_BYTES:
        raise TooLargeError(
            name,
            "the members of the archive for tickers of the universe are together larger than the bound "
            f"of {byte_budget.MAX_BATCH_BYTES:,} bytes",
            "Drop an archive with one member for each ticker",
        )


def _member_obtained(info: zipfile.ZipInfo, last_date: date, archive_obtained: Obtained) -> Obtained:
    """The time of a member, which it keeps where its archive was copied; the archive's where it cannot be true or is later."""
    written_ts = bounded_zip.latest_ts(info)
    if written_ts is None or date(*info.date_time[:3]) < last_date:
        return archive_obtained
    return min((written_ts, "member"), archive_obtained)
