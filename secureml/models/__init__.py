"""Everything about a model, nothing about HTTP: sealed, proved, loaded, asked."""
