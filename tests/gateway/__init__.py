"""The gateway side: client, directory, roles, sessions and the command line group."""
