"""What a step does when an engine beneath it goes away: it is tried again, a few times, once that engine may be back.

Audits, bad rows and refusals are never tried again: the same would come of it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from finlake_clients.service_errors import ServiceUnavailableError

TRIES_MORE = 12
PAUSE_S = 15
"""A supervisor has started a killed engine again by then; Spark's client has waited for its server by itself before. All
tries together outlast an engine that somebody starts again within two minutes, however soon each of them fails."""


@contextmanager
def tried_again_after_outages() -> Iterator[None]:
    """Within a step: an engine that is away ends the attempt and not the step, which fails after the last try."""
    try:
        yield
    except ServiceUnavailableError as error:
        if not error.passes:
            raise
        raise dg.RetryRequested(max_retries=TRIES_MORE, seconds_to_wait=PAUSE_S) from error
