"""The authorization server: our own clients are given tokens by OAuth 2.0, and only they.

Pure parts know neither Flask nor the application; ``views.py``, ``page_views.py``, ``cli.py``,
``settings.py`` and ``server.py`` are the thin side.
"""
