"""hoopjump-ca: certificates for tokens, over HTTPS."""
