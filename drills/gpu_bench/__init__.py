"""Ours against the usual script, in one run on one machine: ``make bench`` or ``make bench QUICK=1``."""
