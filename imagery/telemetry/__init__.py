"""Logs, metrics and exporters."""
