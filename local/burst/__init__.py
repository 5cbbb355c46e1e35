"""Load like a shift change, and the exact count of its records at the end.

``local/commands/burst.py`` puts these modules together; start reading there.

- ``load``: the processes that POST the punches.
- ``http_client``: the connections over which they do so.
- ``progress``: how many of the records each store and the legacy hold.
- ``report``: the difference between accepted and stored records, and the tables that show it.
"""
