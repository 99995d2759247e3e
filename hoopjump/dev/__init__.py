"""For trying out and for tests: an embedded gateway, a private bastion, the demo. Nothing imports it."""
