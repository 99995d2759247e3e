"""The gateway's REST API: the client, the directory of users, and what is known of resource roles."""
