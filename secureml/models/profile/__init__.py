"""What usual rows and answers look like, as the signed card carries it."""
