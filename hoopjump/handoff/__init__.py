"""How a session reaches the gateway: minted certificates, the agent that signs, the ssh configuration."""
