"""The command line, as an administrator sees it."""
