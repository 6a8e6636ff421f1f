"""What holds for every run that writes to the lake."""

from datetime import timedelta

LONGEST_RUN = timedelta(hours=6)
"""Dagster ends a run that takes longer; whatever is older belongs to no run that could still publish it."""
