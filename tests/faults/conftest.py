"""The service in this process, and what a process of its own needs to be the same service."""

from tests.pipeline.conftest import service, variables

__all__ = ["service", "variables"]
