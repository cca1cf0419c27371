"""The GPU service against the usual script, in one run: ``make bench`` or ``make drill NAME=gpu-bench``."""
