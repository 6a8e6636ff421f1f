"""GDELT: its 15-minute files of the Global Knowledge Graph, a day of slots at a time.

Does not belong here: what a record means (spark/transforms/bronze).
"""
