"""Clients of vendors and engines: what is asked of them, in a few typed verbs, and their faults as typed errors.

A vendor or an engine has a folder or a module. Belongs here: addresses, logins, limits, retries and parsing of answers.
Does not belong here: Dagster (finlake_resources), what a row means (spark/contracts), processes that never stop
(finlake_services).
"""
