"""The daemon's core: wire, processes, logins, principals, life."""
