"""Proof that Postgres, Kafka, ClickHouse and Iceberg hold the same trades and quotes, up to one moment.

Belongs here: how each engine is asked for sums and ids, and the pure comparison of the answers. Does not belong here:
writing rows that are missing (that is replaying), and when a comparison is made.
"""
