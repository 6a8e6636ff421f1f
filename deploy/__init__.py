"""Where finlake runs: the only room that names ports, images and memory limits.

Belongs here: starting, stopping and wiring processes (`local` for one machine), and what is given to engines: migrations,
connectors, roles, alert rules. Does not belong here: what the tables mean, how they are computed, and the `finlake` command
(finlake_cli).
"""
