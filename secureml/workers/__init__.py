"""How Gunicorn runs the application: the worker class and its life cycle."""
