"""A real OpenID Connect provider, and the people who log in at it."""
