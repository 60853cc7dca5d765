"""Secrets by reference: where they are, what they are now, and how they are followed."""
