"""What `dagster-webserver` and `dagster-daemon` load."""

import dagster as dg

from finlake_assets.build import build_defs
from finlake_resources.environment import read_environment
from finlake_resources.settings import settings_for


@dg.definitions
def defs() -> dg.Definitions:
    """The lake as this process was told to run it."""
    return build_defs(settings_for(read_environment()))
