"""What happens in which order. Deterministic: no I/O, no clock, no settings, no randomness."""
