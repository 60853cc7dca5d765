"""The demo model: breast-cancer data that ships with scikit-learn, nothing fetched."""

from __future__ import annotations

import csv
from pathlib import Path


def train(folder: Path) -> tuple[Path, Path]:
    """Train a classifier; return its joblib file and the CSV table it was trained on."""
    import joblib
    from sklearn.datasets import load_breast_cancer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    data = load_breast_cancer()
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    model.fit(data.data, data.target)
    file, table = folder / "breast-cancer.joblib", folder / "breast-cancer.csv"
    joblib.dump(model, file)
    with table.open("w", newline="", encoding="utf-8") as sheet:
        writer = csv.writer(sheet)
        writer.writerow([*data.feature_names, "target"])
        # repr: the table must hold the very numbers the model saw.
        writer.writerows(
            [*map(repr, map(float, row)), int(answer)]
            for row, answer in zip(data.data, data.target, strict=True)
        )
    return file, table
