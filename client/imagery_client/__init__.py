"""The imagery pipeline from a terminal, here or in the cloud: ``imagery --help``."""

# the client is built alone, so it can't read the app's version; a test holds that they are the same
__version__ = "0.1.0"
