"""Runs an unmodified ``function_app.py`` where Azure Functions Core Tools is absent.

``README.md`` in this folder says what it does, what it does not do, and its settings.
"""
