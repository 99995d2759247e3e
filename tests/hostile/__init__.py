"""What an attacker would send, with the refusal that each must get."""
