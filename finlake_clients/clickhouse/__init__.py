"""ClickHouse: how to connect, and what is asked of a server.

Does not belong here: the statements that make its tables (spark/contracts), and the local server (finlake_services).
"""
