"""Bundles of OpenSSF model signing: whose a model is, proved before any of it is read."""
