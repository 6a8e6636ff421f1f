"""What assets, checks and sensors ask for: clients as Dagster's resources, and where Dagster keeps what it knows.

Belongs here: which object stands behind each resource key, and Dagster's own storages on Postgres. Does not belong here: how
a vendor or an engine is asked (finlake_clients), what exists and when it runs (finlake_assets, finlake_sensors).
"""
