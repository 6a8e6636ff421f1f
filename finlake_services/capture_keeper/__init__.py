"""The keeper of change capture: it starts a failed connector again, waiting longer each time, and says why it failed.

Kafka Connect starts a failed task again for nobody: what a connector does not retry by itself stays failed until somebody
asks. That is no work for Dagster, whose daemon may be away for the same reason, and not for `finlake up`, which a person
calls. Belongs here: when to start again, and telling of it. Does not belong here: talking to Kafka Connect
(finlake_clients/connect/rest.py), registering a connector (deploy), alerts. In a cluster Strimzi's `autoRestart` does the same.
"""
