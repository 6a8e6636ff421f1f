"""The vendors' own protocols, offline, on a loopback port: Stooq's prices, GDELT's 15-minute files, Finnhub's trades.

Belongs here: what a vendor answers, right or wrong, and the public-domain or generated data it answers with.
Does not belong here: the connectors that ask (finlake_clients/), any judgement of an answer.
"""
