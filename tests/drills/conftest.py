"""The networks that the benchmarks compute with."""

from tests.gpu_container.conftest import cache

__all__ = ["cache"]
