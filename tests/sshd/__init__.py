"""The block for sshd, and the check of it."""
