"""What Gunicorn serves; a start that must not happen ends with one line, not a traceback."""

import gc

from secureml.app import create_app
from secureml.config_error import ConfigError
from secureml.models.serving.no_unpickling import refuse_unpickling

refuse_unpickling()
try:
    application = create_app()
except ConfigError as error:
    raise SystemExit(f"secureml: {error}") from None

# What the start has built lives as long as the process: the collector need never look at it
# again, and the workers that are forked from here go on sharing its memory.
gc.collect()
gc.freeze()
gc.enable()  # deploy/gunicorn.conf.py has switched it off
# A request leaves no cycles behind that anybody waits for: looking after every 700 objects, as
# Python does unless told, is some hundredth of all the work.
gc.set_threshold(20_000, 20, 50)
