"""The concerns, one package each. A package itself: `plugins.jwt` is never PyJWT's `jwt`."""
