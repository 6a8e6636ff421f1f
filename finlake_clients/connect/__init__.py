"""Kafka Connect: its REST interface, and the connector that captures the changes.

The folder `connectors` holds what each connector is told, by its name.
"""
