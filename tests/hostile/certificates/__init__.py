"""Hostile certificates: made anew each time, since dates and keys must be fresh, each with the outcome it must have.

``python -m tests.hostile.certificates DIRECTORY`` writes them out for other programs.
"""
