"""Many processes against one database: ``python -m drills.races``, or ``make races``."""
