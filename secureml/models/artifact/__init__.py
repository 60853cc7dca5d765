"""A sealed model on disk: its files and its signature."""
