"""hoopjump-ca."""
