"""The whole system on one machine: ``python -m local COMMAND``. Nothing here is deployed.

Start reading at ``commands/up.py`` and ``stack.py``.

- ``commands/``: one module for each command.
- ``stack``: start and stop everything; ``startup_display`` shows the start.
- ``supervisor``: restarts what dies, even while the disk is full.
- ``child_process``: one process of the stack; ``child_bootstrap`` runs inside it first.
- ``loopback``: the interface and the free ports of the servers.
- ``postgres``, ``dynamodb/``, ``legacy/``: the two engines and the simulated legacy system.
- ``node``: Node.js and npm packages, for ``dynamodb/``.
- ``services``: the Python processes: the legacy, the API (``api``) and the schedules
  (``scheduler``, which calls the app with a ``lambda_context``).
- ``timed_requests``: reads requests for the API strictly, and under deadlines.
- ``gateway``: what API Gateway does to a request before the app sees it, for the API.
- ``workers``: several processes that serve the API's port together.
- ``private_directory``: keeps the stack's directory from other users of the machine.
- ``stack_file``: how other programs find a running stack; ``tokens`` signs their tokens.
- ``operator_session``: what the commands for operators share.
- ``burst/``: load like a shift change, and the count of its records at the end.
- ``arguments``: types for ``argparse``.
"""
