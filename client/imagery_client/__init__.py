"""The pipeline from the terminal, here or in the cloud: ``python -m imagery_client --help``."""
