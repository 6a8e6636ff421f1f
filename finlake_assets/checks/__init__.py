"""Checks that no single contract can state: freshness by session, agreement across tables, the verdict for a shell.

Does not belong here: predicates over the rows of one table; those are in its contract.
"""
