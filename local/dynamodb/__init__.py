"""A DynamoDB endpoint for one machine.

- ``server``: start it, connect to it, create the buffer's table. Start reading here.
- ``server.js``: the endpoint itself, dynalite with the transactions that it lacks.
"""
