"""Killing the stack's processes on purpose while trades flow, to see that nothing is lost and nothing doubled.

Belongs here: which process is killed when, the traffic meanwhile, and how long recovery takes. Does not belong here: the
comparison of the engines afterwards (finlake_resources/reconciliation).
"""
