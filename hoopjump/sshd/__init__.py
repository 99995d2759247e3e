"""The sshd in front of us: the block of configuration it needs, and the proof that it has it."""
