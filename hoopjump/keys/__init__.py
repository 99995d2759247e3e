"""Key sets of the issuers of tokens: where they come from, how long they are believed, and who is asked for them."""
