"""The whole of finlake on one machine without Docker: real engines under one supervisor process.

Belongs here: finding Java, fetching jars, rendering each engine's configuration, starting, probing and stopping
the processes, and telling what is wrong with the machine. `stack.py` is the entry for everybody else.
Does not belong here: what is also true in a cluster (see `finlake_clients`), and printing (see `finlake_cli`).
"""
