"""``python -m secureml.cli`` is the ``secureml`` command."""

from secureml.cli.main import main

main()
