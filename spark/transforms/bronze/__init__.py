"""Transforms of the bronze tables, one module per table stem; see `spark.transforms` for what belongs here."""
