"""hoopjump: a stock OpenSSH bastion as the entry to a Hoop gateway."""

__version__ = "0.1.0"
