"""Key sets of issuers: from where, for how long, and what is refused."""
