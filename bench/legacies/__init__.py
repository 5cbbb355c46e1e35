"""Simulated legacies in virtual time, and scores of a limiter against them.

The genetic algorithm (``bench.evolve``) and the scenario tests use them. Start with ``score``.

- ``models``: legacies: worker pools, rate limits, thrashing, outages.
- ``client``: a client with an endless queue, which sends what a limiter allows.
- ``scenarios``: families of legacies, whose members are drawn from a key.
- ``score``: a limiter's score beside a clairvoyant operator's.
"""
