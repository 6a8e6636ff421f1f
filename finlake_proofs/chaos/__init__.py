"""Killing and freezing the stack's processes and filling its disks on purpose while trades flow, to see that nothing is lost
and nothing doubled.

Belongs here: what befalls which process when, the traffic meanwhile, and how long recovery takes. Does not belong here: the
comparison of the engines afterwards (finlake_reconciliation).
"""
