"""Packaging and deployment: the SAM template, the zip of the code, and what both cost to run.

``make package`` and ``make deploy`` start here; ``docs/deployment.md`` describes the deployment.

- ``__main__``: the command ``python -m deploy``; start reading at ``package.package``.
- ``preflight``: check the machine and the account before a deployment.
- ``merge_template``: read the file that says what Chalice cannot say.
- ``configure``: write a stage of ``chalice deploy``, with its settings, network and policies.
- ``companion``: derive the stack of all that ``chalice deploy`` does not make.
- ``change_set``: show and execute a change set, for the workflow that deploys.
- ``pinned_chalice``: run Chalice's commands with the pinned runtime and its wheels.
- ``package``: build the template and the zip of a stage with ``chalice package``.
- ``revision``: name the code and configuration of intake, so that a change publishes a version.
- ``runtime``: pin the Python version (``RUNTIME``) and the processor of the deployed functions.
- ``wheels``: download the wheels that fit both, and install them into a directory.
- ``capacity``: simulate a shift change on AWS, and compute the tables of ``docs/capacity.md``.
- ``deployer.yaml``: the CloudFormation template of the roles with which the workflow deploys.
- ``database.yaml``: the CloudFormation template of PostgreSQL, its proxy and the VPC endpoints.
"""
