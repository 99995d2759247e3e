"""Tests of the handoff to the gateway."""
