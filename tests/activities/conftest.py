"""The services of one process."""

from testbed.services import services, simulator

__all__ = ["services", "simulator"]
