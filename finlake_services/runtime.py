"""What every service does around its work: logs as JSON lines, stops at a signal, serves HTTP within bounds.

Metrics and health of services that serve nothing else are in metrics_server.py.
"""

import asyncio
import logging
import signal
import sys
from collections.abc import Callable
from threading import Event
from types import FrameType
from typing import Any

import structlog
import uvicorn
from structlog.typing import Processor

from finlake_services.http_server import BoundedHttp
from finlake_settings.local_stack import LOOPBACK
from finlake_settings.reading import Model, SettingsError, read_settings

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def log_as_json(*last: Processor) -> None:
    """JSON lines on standard output, those of other libraries included, which speak from warnings on.

    `last` are processors that have to see each event as it will be written.
    """
    first: list[Processor] = [structlog.processors.add_log_level, structlog.processors.TimeStamper(fmt="iso", utc=True)]
    ending: list[Processor] = [structlog.processors.format_exc_info, *last, structlog.processors.JSONRenderer()]
    structlog.configure(processors=[*first, *ending])
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=first,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *ending],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


def own_settings(model: type[Model]) -> Model:
    """The settings of this service; with less than it needs, or what makes no sense, it says so and ends with exit code 1."""
    try:
        return read_settings(model)
    except SettingsError as error:
        structlog.get_logger().error("cannot start", reason=str(error))
        sys.exit(1)


def stop_of_threads() -> Event:
    """An event that SIGINT or SIGTERM sets, for a service made of threads. To be called in the main thread."""
    stop = Event()
    for number in STOP_SIGNALS:
        signal.signal(number, lambda *_: stop.set())
    return stop


def stop_of_tasks() -> asyncio.Event:
    """An event that SIGINT or SIGTERM sets, for a service made of the tasks of the event loop that runs now."""
    stop = asyncio.Event()
    for number in STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def serve(
    application: Callable[..., Any],
    port: int,
    *,
    host: str = LOOPBACK,
    protocol: type[BoundedHttp] = BoundedHttp,
    **more: Any,
) -> None:
    """Answer HTTP until SIGINT or SIGTERM, and return then. `more` are further settings of uvicorn."""
    # uvicorn raises the signal again once it has shut down; with the default handler the process would end as killed.
    for number in STOP_SIGNALS:
        signal.signal(number, _stopped)
    # No access log: a request line may hold a caller's key, or parameters of a statement.
    uvicorn.run(application, http=protocol, host=host, port=port, log_level="warning", access_log=False, **more)


def _stopped(_number: int, _frame: FrameType | None) -> None:
    """Nothing is left to do."""
