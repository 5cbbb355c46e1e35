"""Capacity and cost: what AWS does at the first second of a shift change, and what a day costs.

``python -m deploy.capacity`` prints the tables of ``docs/capacity.md``; ``--plot PATH`` draws the
simulated shift change. Tests compare both with the documents.

- ``__main__``: the command.
- ``facts``: prices by region, measured values and limits of AWS, each with its source.
- ``lots``: divide a number of phones or writes at random.
- ``table``: the DynamoDB table and its partitions.
- ``replication``: the replicator and the integrator, which follow the phones.
- ``shift_change``: the simulation of phones, API Gateway, Lambda and the table.
- ``costs``: the cost of a month in a region.
- ``tables``: all tables, as Markdown.
- ``plot``: a simulated shift change as SVG.
"""
