"""Jobs of the gold tables, one module per table stem; see `spark.jobs` for what belongs here."""
