"""Hostile tokens: made anew each time, since dates and keys must be fresh, each with the reason code it must get.

``python -m tests.hostile.tokens DIRECTORY`` writes them out for other programs.
"""
