"""Whole files answered by a sealed model: in chunks, by the rules of the API, with resumption."""
