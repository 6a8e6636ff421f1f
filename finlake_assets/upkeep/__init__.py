"""Assets that tidy tables instead of filling them: compaction, expired snapshots, orphan files, stale audit branches.

Does not belong here: how a table is tidied (spark/upkeep.py) or when (finlake_sensors/schedules.py).
"""
