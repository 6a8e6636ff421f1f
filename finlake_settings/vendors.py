"""What a process is told of the vendors: where each answers, the files of keys, where files are dropped.

Belongs here: a group for each vendor, and which of them Dagster asks.
"""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel

from finlake_settings.declaration import Group, HttpAddress, Setting, WebsocketAddress, Words
from finlake_settings.local_stack import FINNHUB_TOKEN, SECRETS


class Stooq(Group):
    """Daily prices."""

    url: Annotated[HttpAddress, Setting(about="where Stooq answers", sample="{sample_sources_url}", live="https://stooq.com")]
    drop: Annotated[str, Setting(about="folder, or s3:// prefix, of dropped Stooq files", local="{home}/stooq_drop")]
    apikey_file: Annotated[Path | None, Setting(about="file with a key of your own for Stooq's downloads", everywhere=None)]


class Gdelt(Group):
    """News."""

    url: Annotated[
        HttpAddress, Setting(about="where GDELT's files are", sample="{sample_sources_url}", live="http://data.gdeltproject.org")
    ]


class Finnhub(Group):
    """Trades and quotes."""

    url: Annotated[
        HttpAddress,
        Setting(about="Finnhub's REST interface", sample="{sample_sources_url}/finnhub/api/v1", live="https://finnhub.io/api/v1"),
    ]
    ws_url: Annotated[
        WebsocketAddress,
        Setting(about="Finnhub's websocket", sample="{sample_sources_ws_url}/finnhub/ws", live="wss://ws.finnhub.io"),
    ]
    token_file: Annotated[
        Path | None,
        Setting(
            about="file with Finnhub's token; the feed does not start without one",
            sample=f"{{home}}/{SECRETS}/{FINNHUB_TOKEN}",
            live=None,
        ),
    ]
    # A coin trades when the exchanges are closed.
    symbols: Annotated[
        Words, Setting(about="symbols to follow beside the universe's, separated by commas", everywhere="BINANCE:BTCUSDT")
    ]


class BatchVendors(BaseModel):
    """The vendors whose files Dagster fetches."""

    stooq: Stooq
    gdelt: Gdelt
