"""The sink: trades and quotes from Kafka into ClickHouse's speed tables, each exactly once.

Belongs here: reading, judging and inserting records, and what makes it exactly once. Does not belong here: the tables
(spark/contracts), their creation (deploy/clickhouse), where anything runs (deploy).
"""
