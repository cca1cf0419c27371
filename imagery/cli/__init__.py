"""The pipeline from the terminal, here or in the cloud: ``python -m imagery.cli --help``."""
