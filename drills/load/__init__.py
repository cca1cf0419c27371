"""Many jobs at once, while things fail: ``make load``, ``make chaos``."""
