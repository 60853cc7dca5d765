"""Print a body that a model answers: a row of the table it was sealed with.

SECUREML_INSTANCE=/var/lib/secureml python example_body.py MODEL
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from secureml.models.serving.registry import Registry
from secureml.settings import instance_folder, read

card = Registry(read(instance_folder(None)).models_folder).card(sys.argv[1])
print(json.dumps({"instances": [card.golden.rows[0]]}))
