"""Many processes against one database: ``make drill NAME=races``."""
