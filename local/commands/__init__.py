"""The commands of ``python -m local``: one module each, with ``add_arguments`` and ``run``.

- ``up``: run the whole system. Start reading here.
- ``token``: make a token for a role.
- ``status``: show how many records each stage holds.
- ``tick``: run a schedule once.
- ``reconcile``, ``release``, ``replay``, ``restore``, ``export``, ``erase``, ``keys``: the operator
  commands.
- ``legacy``: check the settings of a legacy.
- ``burst``: send load and account for every punch.
"""
