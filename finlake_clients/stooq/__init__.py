"""Stooq's daily prices: files that a user dropped first, HTTP with the user's own key second.

Belongs here: where such files are, how they are named, packed and bounded, what Stooq answers instead of them. Everything
ends in bytes and their origin; what the bytes mean is decided in `spark/transforms/bronze`, what they look like in
`spark/contracts/stooq_files.py`.
"""
