"""The paid image models, each behind the classification of its responses."""
