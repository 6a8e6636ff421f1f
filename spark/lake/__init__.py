"""The lake: sessions with the engine, tables of the catalog, snapshots, and writing by branch, audit and publication.

Does not belong here: what is computed (spark/transforms), and which table a job writes (spark/jobs).
"""
