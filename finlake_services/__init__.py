"""Processes that never stop: one folder per service, started by a supervisor or in a container.

Belongs here: services with their protocol, their client libraries, their own clean stop.
Does not belong here: dagster, table computation (spark/), where a service runs and with how much memory (deploy/).
"""
