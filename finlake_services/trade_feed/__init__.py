"""The feed: Finnhub's trades and quotes into Postgres (schema ods), every message kept, every gap recorded.

Belongs here: the vendor's protocol, receive times and message numbers, the way of a row into Postgres.
Does not belong here: what happens to a row after its commit, judging a price or a time (spark/contracts/speed.py says
what a flaw is, the sink and silver apply it), tables and roles of Postgres (deploy/postgres).
"""
