"""Everything that happens once, when a model file becomes a signed version."""
