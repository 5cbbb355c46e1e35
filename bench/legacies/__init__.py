"""Simulated legacies in virtual time, and scores of a limiter against them.

The genetic algorithm (``bench.evolve``) and the scenario tests use them. Start with ``score``.

- ``models``: legacies: worker pools, rate limits, thrashing, outages, refusals.
- ``client``: a client with an endless queue, which sends what a limiter allows.
- ``draws``: the scenario: a legacy, and what its operator knows about it.
- ``scenarios``: families of legacies, whose members are drawn from a key.
- ``score``: a limiter's score beside a clairvoyant operator's.
"""
