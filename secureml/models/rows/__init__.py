"""Instances as clients send them, read into the rows a model takes."""
