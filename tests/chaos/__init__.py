"""Chaos from outside: a whole stack under faults at random, judged by the truth of its clients.

``phones`` posts punches and remembers which were accepted. ``system`` starts the stack, its
DynamoDB endpoint and its legacy as processes, with a ``proxy`` before each of the two. ``faults``
has every kind of fault. ``rounds`` injects one after the other, waits for recovery, and counts what
was lost or duplicated. ``python -m tests.chaos`` runs it by hand; ``test_chaos`` for a minute.
"""
