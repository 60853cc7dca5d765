"""How a request passes: eight doors, no opinion about security, no model, no storage."""
