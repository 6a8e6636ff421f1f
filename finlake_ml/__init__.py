"""Models: splits, tensors, baselines, networks, tuning, metrics, over the gold feature and label tables.

Belongs here: everything that trains or judges a model, given arrays. Does not belong here: dagster, pyspark, table
names, schedules. The room is empty until the first model lands; `gold.ml_features` and `gold.ml_labels` are its inputs.
"""
