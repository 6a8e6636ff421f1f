"""Postgres: what the operational database says of itself.

Does not belong here: its tables (deploy/postgres), and whoever writes them (finlake_services/trade_feed).
"""
