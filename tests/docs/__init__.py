"""The documents, compared with the program."""
