"""Tests of what stands in for the real world: the embedded gateway, databases."""
