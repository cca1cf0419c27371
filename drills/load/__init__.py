"""Many jobs at once while things fail: the drills load and chaos."""
