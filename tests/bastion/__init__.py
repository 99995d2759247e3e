"""A real sshd, a real ssh, and everything of ours between them."""
