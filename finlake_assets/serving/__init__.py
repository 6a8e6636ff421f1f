"""What ClickHouse shows of gold: loaded, pointed at, or seen together with the stream, one module per table.

Does not belong here: statements (spark/contracts/clickhouse_serving.py) or the order in which they run
(finlake_clients/clickhouse/server.py).
"""
