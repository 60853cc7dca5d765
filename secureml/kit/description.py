"""What the app offers, as data, for a plugin that describes it to others.

Needed by a page or document about the routes, such as an OpenAPI description: `describe_app`
returns an `AppDescription` with each `Route`, read from the app that serves.
"""

from __future__ import annotations

from secureml.pipeline.description import AppDescription, Route, describe_app

__all__ = ["AppDescription", "Route", "describe_app"]
