"""Kafka Connect: its REST interface, and the connector that captures the changes.

The folder `connectors` holds the settings of each connector, by its name.
"""
