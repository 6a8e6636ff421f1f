"""What Dagster loads: a module for each code location, which puts assets, checks, jobs, sensors and resources together.

Does not belong here: any of these themselves.
"""
