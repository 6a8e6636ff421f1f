"""What `dagster-webserver` and `dagster-daemon` load."""

import dagster as dg

from finlake_code_locations.build import build_defs
from finlake_settings.processes import DagsterSettings
from finlake_settings.reading import read_settings


@dg.definitions
def defs() -> dg.Definitions:
    """The lake by the settings of this process."""
    return build_defs(read_settings(DagsterSettings))
