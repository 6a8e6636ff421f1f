"""Where finlake runs: the only room that names hosts, ports, images and memory limits.

Belongs here: starting, stopping and wiring processes (`local` for one machine), and the `finlake` command
(`cli`). Does not belong here: what the tables mean, how they are computed, and how an outside system is spoken to.
"""
