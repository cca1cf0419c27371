"""The guardrail: admits or rejects an image, with numbers.

Nothing is imported here: the sandboxed worker is part of this package, and loads only what it needs.
"""
