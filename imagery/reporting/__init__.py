"""Figures of the whole system: metrics, their export, the span of a run. No room of imagery uses it."""
