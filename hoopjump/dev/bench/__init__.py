"""Measurements: interleaved runs on one sshd with a port for each variant, shown as medians and ratios.

Separate sshds cannot be compared: the padding of authentication (auth2.c ensure_minimum_time_since) has a base that
depends on host keys and configuration. Nothing here asserts; speed is read, not tested.
"""
