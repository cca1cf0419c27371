"""Many processes against one database: ``python -m tests.races``, or ``make races``."""
