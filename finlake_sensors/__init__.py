"""WHEN something runs by itself: sensors for what arrives, schedules for what time brings, where each exists.

Belongs here: `plans.py`, which decides and is pure, and thin shells that look, ask a plan and request runs.
Does not belong here: what a run does (finlake_assets), how a source is listed (finlake_clients).
"""
