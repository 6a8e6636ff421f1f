"""Who logs in to the local Dagster: its door and its clients."""

USER = "finlake"
