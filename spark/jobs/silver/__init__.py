"""Jobs of the silver tables, one module per table stem; see `spark.jobs` for what belongs here."""
