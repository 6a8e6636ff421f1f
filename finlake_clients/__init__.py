"""Clients of vendors and engines: what is asked of them, in a few typed verbs, and their faults as typed errors.

A vendor or an engine has a folder or a module. Belongs here: addresses, logins, limits, retries, what answers look like.
Does not belong here: Dagster (finlake_resources), what a row means (spark/contracts), processes that never stop
(finlake_services). Engines' libraries are imported inside the verb that needs them: loading definitions loads none of them.
"""
