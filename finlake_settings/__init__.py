"""The settings of each process, as one typed model read from its variables; the only reader of the environment in the house.

Belongs here: settings, each declared once with its type, description and defaults; how they are read; where the checkout is;
the usual ports of a local stack, which are defaults of settings. Does not belong here: what is done with a setting, secrets
(a setting names the file, finlake_clients/secret_files.py reads it), options of a single command line.
"""
