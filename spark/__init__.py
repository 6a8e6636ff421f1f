"""WHICH computation over tables: contracts (tables as data), transforms (rows to rows), jobs (read, transform, write).

Belongs here: anything that turns rows into rows, and the one place that opens, reads and commits lake tables.
Does not belong here: Dagster, schedules, vendors' protocols, environment variables. Nothing here imports dagster.
"""
