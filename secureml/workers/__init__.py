"""How Gunicorn runs the application: the worker class and its life cycle.

Every override of Gunicorn is in this package: ``bounded`` and ``inline_thread`` derive the worker
from gthread, ``listening`` words its refusals. ``tests/project/library_overrides.py`` lists what
of Gunicorn is used, and what would break.
"""
