"""Read, transform, write, report: one job per table, each a short sentence over `spark.lake.storage` and a transform.

Belongs here: which window of which inputs a table is computed from, and what the report says.
Does not belong here: formulas (transforms), commits (storage), partitions and checks of Dagster (finlake_assets).
"""
