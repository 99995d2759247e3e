"""hoopjump login."""
