"""The imagery pipeline from a terminal, here or in the cloud: ``imagery --help``."""

__version__ = "0.1.0"
