"""The administrator's command line, one module a command group."""
