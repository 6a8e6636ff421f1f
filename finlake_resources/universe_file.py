"""The universe file as a resource: read when asked, so that an edit is seen by the next run."""

from pathlib import Path

import dagster as dg

from spark.contracts.universe import Universe, UniverseError, parse_universe


class UniverseFile(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Where the universe file is."""

    path: str

    def read(self) -> Universe:
        """The universe as the file now says; raises `UniverseError` when it is missing or wrong."""
        try:
            text = Path(self.path).read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise UniverseError(f"there is no universe file at {self.path}; set FINLAKE_UNIVERSE or restore it") from error
        return parse_universe(text)
