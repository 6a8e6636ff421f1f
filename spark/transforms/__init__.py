"""Rows to rows: pure functions over Arrow, Polars and Spark columns, one module per table.

Belongs here: parsing, matching, indicators, joins; a test calls every function directly.
Does not belong here: sessions, clocks, table names, catalogs, files.
"""
