"""What the services of the stack do, a module for each engine: command line, probe, and the steps around a start.

Belongs here: the functions that the records in `deploy/local/services.py` name. Does not belong here: what an engine reads in
its configuration files, which stands beside this folder.
"""
