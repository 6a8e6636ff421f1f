"""The universe file: read when asked, so that an edit is seen by the next run."""

from pathlib import Path

from finlake_clients.service_client import ServiceClient
from spark.contracts.universe import Universe, UniverseError, parse_universe

# Thousands of tickers with all their names; more is another file.
MOST_BYTES = 4 * 1024 * 1024


class UniverseFile(ServiceClient):
    """Where the universe file is."""

    path: str

    def read(self) -> Universe:
        """The universe as the file now says; raises `UniverseError` when it is missing, unreadable or wrong."""
        try:
            with Path(self.path).open("rb") as file:
                content = file.read(MOST_BYTES + 1)
        except FileNotFoundError as error:
            raise UniverseError(f"there is no universe file at {self.path}; set FINLAKE_UNIVERSE or restore it") from error
        except OSError as error:
            raise UniverseError(
                f"the universe file {self.path} cannot be read ({error.strerror}); set FINLAKE_UNIVERSE"
            ) from error
        if len(content) > MOST_BYTES:
            raise UniverseError(f"{self.path} is larger than {MOST_BYTES} bytes; is it the universe file? Set FINLAKE_UNIVERSE")
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            raise UniverseError(
                f"{self.path} (FINLAKE_UNIVERSE), line {line}: this is not UTF-8; save it with the encoding UTF-8"
            ) from error
        try:
            return parse_universe(text)
        except UniverseError as error:
            raise UniverseError(f"{self.path} (FINLAKE_UNIVERSE): {error}") from error
