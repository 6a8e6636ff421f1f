"""Assets of the bronze tables, one module per download: what vendors said, fetched and handed to its job.

Does not belong here: parsing (spark/transforms/bronze) or a vendor's protocol (finlake_clients).
"""
