"""What Gunicorn serves; a start that must not happen ends with one line, not a traceback."""

from secureml.app import create_app
from secureml.config_error import ConfigError

try:
    application = create_app()
except ConfigError as error:
    raise SystemExit(f"secureml: {error}") from None
