"""Tables as data, standard library only: one `Table` per lake table, in one module per layer.

Belongs here: names, grains, columns, units, partitions, checks, owners, retention, sources of formulas, the shape of
the universe file. Does not belong here: any computation, engine type or I/O; other rooms translate contracts.
"""
