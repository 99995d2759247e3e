"""hoopjumpd: the socket that the hooks ask, the logins, the sessions."""
