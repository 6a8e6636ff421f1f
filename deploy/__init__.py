"""Where finlake runs: ports that are no client's setting, images and memory limits (finlake_settings has the others).

Belongs here: starting, stopping and wiring processes (`local` for one machine), and what is given to engines: migrations, roles,
alert rules. Does not belong here: what the tables mean, how they are computed, and the `finlake` command
(finlake_cli).
"""
