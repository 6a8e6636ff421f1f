"""ClickHouse's schema over time: numbered migrations, forward only, and the command that applies them.

Belongs here: migrations, their ledger, drafting the next one from the contracts. Does not belong here: what the tables
are (spark/contracts/clickhouse.py).
"""
