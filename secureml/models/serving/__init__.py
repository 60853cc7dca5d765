"""Models that answer: verification of a version, its handle, and the registry of all."""
