"""HOW we reach outside: one module per system, each a resource with a few typed verbs.

Belongs here: vendors, the lake's jobs, the trading calendar, settings and the one reader of environment variables.
Does not belong here: table logic (spark), what exists and when it runs (finlake_assets, finlake_sensors).
Clients are imported inside the verb that needs them, so that loading definitions loads none of them.
"""
