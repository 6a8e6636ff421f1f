"""Transforms of the silver tables, one module per table stem; see `spark.transforms` for what belongs here."""
