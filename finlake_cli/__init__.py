"""The `finlake` command: argument parsing and what the user sees.

Belongs here: Typer commands that call one function of another room and print its answer. Does not belong here:
the work itself. A command module imports nothing heavier than Typer at its top, so that `finlake --help` is quick.
"""
