"""WHAT exists: every table as an asset with its partitions, checks and people-readable metadata.

Belongs here: Dagster glue. Does not belong here: computation over rows (spark/), how an outside system is reached
(finlake_clients/), when something runs by itself (finlake_sensors/), and putting it all together (finlake_code_locations/).
"""
