"""Assets of the silver tables, one module per table: one agreed version of each fact.

Does not belong here: how facts are agreed upon (spark/transforms/silver).
"""
