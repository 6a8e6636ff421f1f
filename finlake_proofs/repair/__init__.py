"""Putting right by hand what the stream did not do by itself.

Belongs here: reading ranges of topics again. Does not belong here: what the sink and the archive do all the time.
"""
