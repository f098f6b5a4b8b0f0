"""What runs on the nodes: the actor that executes a process and all that is part of it,
and three tasks that answer and end (`inventory`, `descendants`, `flagtable`).

It travels there by value, for the nodes do not have this package: it imports the
standard library, `common`, itself and Ray, and all at the top of a module.
"""
