"""Runs the unmodified ``function_app.py`` where Azure Functions Core Tools is absent."""
