"""Kafka Connect: its REST interface, and the connector that captures the changes.

Does not belong here: the connector's configuration (deploy/connectors).
"""
