"""The rival: the Flask app most people write around a model, with nothing in front of it."""

from __future__ import annotations

import os

import joblib
import numpy as np
from flask import Flask, jsonify, request

app = Flask(__name__)
model = joblib.load(os.environ["BARE_MODEL"])


@app.post("/predict")
def predict():
    """Read rows, predict, answer."""
    rows = np.array(request.get_json()["instances"])
    return jsonify(predictions=model.predict(rows).tolist())
