"""The stream as Dagster describes it: what trades and quotes pass on their way, and what is asked about it.

Belongs here: external assets, and rules that judge what was observed. Does not belong here: anything that moves rows;
that is done by processes of finlake_services, which Dagster does not run.
"""
