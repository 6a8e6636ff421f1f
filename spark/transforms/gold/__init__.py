"""Transforms of the gold tables, one module per table stem; see `spark.transforms` for what belongs here."""
