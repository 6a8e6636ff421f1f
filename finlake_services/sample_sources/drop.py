"""Write what a user would drop: `<code>_d.csv` files and a bulk archive, with the sample prices.

`python -m finlake_services.sample_sources.drop FOLDER` fills a folder.
"""

import io
import os
import zipfile
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Annotated

import typer

from finlake_services.sample_sources import prices

BULK_FILE_NAME = "d_us_txt.zip"
_FOLDERS = {"IBM": "data/daily/us/nyse stocks/1"}
_DEFAULT_FOLDER = "data/daily/us/nasdaq stocks/2"


def drop_csv(ticker: str, end: date | None = None, restatement: str | None = None) -> tuple[str, bytes]:
    """File name and bytes of one ticker's CSV up to `end`; raises KeyError for a ticker without sample data."""
    bars = prices.history(ticker)
    if restatement is not None:
        bars = prices.restated(bars, restatement)
    name = prices.stooq_code(ticker).replace(".", "_") + "_d.csv"
    return name, prices.csv_body(prices.between(bars, None, end))


def bulk_archive(tickers: Sequence[str], end: date | None = None) -> bytes:
    """A bulk archive in the vendor's layout: sub-folders, one member with backslashes, one of zero bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for position, ticker in enumerate(sorted(tickers)):
            path = f"{_FOLDERS.get(ticker, _DEFAULT_FOLDER)}/{prices.stooq_code(ticker)}.txt"
            name = path.replace("/", "\\") if position == 0 else path
            body = prices.bulk_body(ticker, prices.between(prices.history(ticker), None, end))
            archive.writestr(_member(name), body)
        archive.writestr(_member(f"{_DEFAULT_FOLDER}/empty.us.txt"), b"")
    return buffer.getvalue()


def _member(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, date_time=(2018, 3, 28, 0, 0, 0))
    info.compress_type = zipfile.ZIP_DEFLATED
    return info


def write_drop(
    folder: Path,
    tickers: Sequence[str] = prices.TICKERS,
    end: date | None = None,
    restatement: str | None = None,
    bulk: bool = False,
) -> list[Path]:
    """Write one CSV per ticker, or one bulk archive, into `folder`; each file appears complete or not at all.

    Returns the paths written. Raises KeyError for a ticker without sample data.
    """
    if bulk:
        contents = [(BULK_FILE_NAME, bulk_archive(tickers, end))]
    else:
        contents = [drop_csv(ticker, end, restatement) for ticker in tickers]
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, body in contents:
        partial = folder / f"{name}.part"
        partial.write_bytes(body)
        os.replace(partial, folder / name)
        paths.append(folder / name)
    return paths


def main(
    folder: Annotated[Path, typer.Argument(help="Folder to fill; made if it is not there.")],
    ticker: Annotated[list[str] | None, typer.Option(help="Only these tickers; repeat the option.")] = None,
    end: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Last session written.")] = None,
    restatement: Annotated[str | None, typer.Option(help="Rewrite history: " + ", ".join(prices.RESTATEMENTS))] = None,
    bulk: Annotated[bool, typer.Option(help="Write the bulk archive instead of one CSV a ticker.")] = False,
) -> None:
    """Fill FOLDER with sample prices in Stooq's file forms."""
    if restatement is not None and restatement not in prices.RESTATEMENTS:
        raise typer.BadParameter(f"{restatement!r} is not one of {', '.join(prices.RESTATEMENTS)}")
    unknown = sorted(set(ticker or ()) - set(prices.TICKERS))
    if unknown:
        raise typer.BadParameter(f"no sample data for {', '.join(unknown)}; there is {', '.join(prices.TICKERS)}")
    for path in write_drop(folder, ticker or prices.TICKERS, end.date() if end else None, restatement, bulk):
        typer.echo(str(path))


if __name__ == "__main__":
    typer.run(main)
