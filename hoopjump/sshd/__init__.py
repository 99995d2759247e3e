"""The sshd in front of us: the block of configuration it needs, and proof that it is in force."""
