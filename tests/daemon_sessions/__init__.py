"""Tests of sessions, their agents, and administration."""
