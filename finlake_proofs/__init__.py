"""Proofs of what finlake promises: each compares engines, kills processes, or measures, and says what it found.

Does not belong here: what is proven, and the commands that start a proof (finlake_cli).
"""
