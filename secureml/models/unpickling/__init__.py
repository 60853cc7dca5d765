"""A model file read under an allowlist of exact names, with every object checked."""
