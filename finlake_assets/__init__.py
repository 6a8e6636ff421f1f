"""WHAT exists: every table as an asset with its partitions, checks and people-readable metadata. Start at `build.py`.

Belongs here: Dagster glue. Does not belong here: computation over rows (spark/), how an outside system is reached
(finlake_resources/), when something runs by itself (finlake_sensors/).
"""
