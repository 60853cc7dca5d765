"""How a request passes: eight phases, no opinion about security, no model, no storage."""
