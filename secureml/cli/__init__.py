"""The ``secureml`` command: what operators and their scripts call."""
