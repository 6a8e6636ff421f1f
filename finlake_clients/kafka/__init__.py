"""Kafka: how its clients connect, and what its topics hold.

Does not belong here: what a record means (spark/contracts), and writing to a topic (finlake_services).
"""
