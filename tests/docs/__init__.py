"""Tests of what people read: README, docs/ and the files beside them."""
