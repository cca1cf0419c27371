"""The services of one process."""

from tests.services import services, simulator

__all__ = ["services", "simulator"]
