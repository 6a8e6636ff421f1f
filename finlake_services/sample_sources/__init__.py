"""The vendors' own protocols, offline: Stooq's price download and GDELT's 15-minute files on a loopback port.

Belongs here: what a vendor answers, right or wrong, and the public-domain or generated data it answers with.
Does not belong here: the connectors that ask (finlake_resources/), any judgement of an answer.
"""
