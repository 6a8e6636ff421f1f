"""What holds for every run that writes to the lake: which job fills which calendar, and how long it may take."""

from collections.abc import Mapping
from datetime import timedelta

from spark.contracts.table import WindowKind

LONGEST_RUN = timedelta(hours=6)
"""Dagster ends a run that takes longer; whatever is older belongs to no run that could still publish it."""

BY_DAY = "lake_by_day"
BY_SESSION = "lake_by_session"
BY_MONTH = "lake_by_month"
STREAM_ARCHIVE = "stream_archive"

JOBS: Mapping[WindowKind, str] = {"day": BY_DAY, "session": BY_SESSION, "month": BY_MONTH, "stream_day": STREAM_ARCHIVE}
"""By calendar, Dagster's job that fills its tables."""
