"""Assets of the gold tables, one module per table: what people and models read.

Does not belong here: formulas (spark/contracts/gold.py) or kernels (spark/transforms/gold).
"""
