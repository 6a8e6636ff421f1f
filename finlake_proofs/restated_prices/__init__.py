"""Pairs of downloads made by the vendor's rule, and docs/restatements.md of the verdicts on them.

Belongs here: how a vendor prints and restates, kinds of pairs, faults of files, and what the rule says of them. Does not
belong here: the rule (`spark/transforms/silver/price_restatements.py`) and its limits (`spark/contracts/price_limits.py`).
Everything is seeded.
"""
