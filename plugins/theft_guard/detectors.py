"""The ten detectors: their names, what a flag says of each, and the shares of rows they rest on."""

from __future__ import annotations

BINS = 10  # the most bins of any detector
DETECTORS = (
    "mahalanobis",
    "tails",
    "central",
    "boundary",
    "nearest",
    "label_flip",
    "fingerprints",
    "prada",
    "rayleigh",
    "step",
)
(
    MAHALANOBIS, TAILS, CENTRAL, BOUNDARY, NEAREST, LABEL_FLIP, FINGERPRINTS, PRADA, RAYLEIGH, STEP,
) = range(len(DETECTORS))  # fmt: skip

REASONS = {
    "mahalanobis": "columns combined as no real row combines them",
    "tails": "values at the ends of many columns at once",
    "central": "rows nearer to the middle than real rows are",
    "boundary": "answers the model is least sure of",
    "nearest": "rows very near to rows just sent",
    "label_flip": "small steps that change the answer",
    "fingerprints": "variations of rows sent earlier",
    "prada": "distances to rows answered alike that real rows do not have",
    "rayleigh": "columns that vary independently where those of real rows vary together",
    "step": "short steps from rows just sent in directions that real rows do not take",
}

# For each detector: the largest share of a customer's rows in each bin, then an attacker's.
# The customer's shares of the suspicious bins are the card's nominal ones, times a slack that
# the measurements in docs/theft.md chose; the first bin takes the rest.
CUSTOMER: dict[str, tuple[float, ...]] = {
    "mahalanobis": (0.80, 0.15, 0.04, 0.01),
    "tails": (0.82, 0.15, 0.03),
    "central": (0.60, 0.25, 0.15),
    "boundary": (0.62, 0.27, 0.11),
    "nearest": (0.80, 0.15, 0.05),
    "label_flip": (0.98, 0.02),
    "fingerprints": (0.94, 0.06),
    # A decile of the card holds at most so many of a customer's rows, whichever decile it is.
    "prada": (0.28,) * BINS,
    "rayleigh": (0.64, 0.14, 0.09, 0.09, 0.04),
    "step": (0.84, 0.07, 0.09),
}
ATTACKER: dict[str, tuple[float, ...]] = {
    "mahalanobis": (0.15, 0.15, 0.30, 0.40),
    "tails": (0.25, 0.35, 0.40),
    "central": (0.20, 0.40, 0.40),
    "boundary": (0.20, 0.35, 0.45),
    "nearest": (0.20, 0.30, 0.50),
    "label_flip": (0.70, 0.30),
    "fingerprints": (0.40, 0.60),
    "prada": (0.1,) * BINS,
    "rayleigh": (0.12, 0.10, 0.13, 0.22, 0.43),
    "step": (0.30, 0.25, 0.45),
}
