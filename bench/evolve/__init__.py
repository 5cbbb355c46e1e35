"""A genetic algorithm that finds the parameters of the adaptive limiter on simulated legacies.

``python -m bench.evolve --help`` lists its options; docs/limit-search.md explains the method.

- ``__main__``: the command.
- ``search``: the search: generations, finals, comparison on held-out legacies.
- ``algorithm``: selection, crossover and mutation.
- ``genome``: parameters as points of the unit cube.
- ``evaluation``: the scores of candidates, on several processes.
- ``adopted.json``: the search whose winner are the defaults, and which of them it began with.
"""
