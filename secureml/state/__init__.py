"""What outlives a request: the store, clients, secrets, and the kinds of settings values."""
