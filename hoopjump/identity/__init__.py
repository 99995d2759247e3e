"""Logging in at an identity provider: an OpenID Connect client for ``hoopjump login``, and what it gets kept safe."""
