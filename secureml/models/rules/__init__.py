"""Rules and ranges of a card: how they are written and read, and how rows are checked by them."""
