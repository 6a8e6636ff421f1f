"""Measurements of finlake itself: what is compared, on which made-up data, and how a comparison is judged.

Belongs here: code behind `finlake bench`. Does not belong here: anything the lake needs to work, and tests of results.
"""
