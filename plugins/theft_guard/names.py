"""The ten tests: their names, their places in every table, and what a flag says of each."""

from __future__ import annotations

TESTS = (
    "manifold",
    "edges",
    "middle",
    "boundary",
    "near",
    "chain",
    "prints",
    "spacing",
    "slant",
    "stride",
)
REASONS = {
    "manifold": "columns combined as no real row combines them",
    "edges": "values at the ends of many columns at once",
    "middle": "rows nearer to the middle than real rows are",
    "boundary": "answers the model is least sure of",
    "near": "rows very near to rows just sent",
    "chain": "small steps that change the answer",
    "prints": "variations of rows sent earlier",
    "spacing": "distances to rows answered alike that real rows do not have",
    "slant": "columns that go their own ways, however little",
    "stride": "short steps from rows just sent that are none between real rows",
}
MANIFOLD, EDGES, MIDDLE, BOUNDARY, NEAR, CHAIN, PRINTS, SPACING, SLANT, STRIDE = range(len(TESTS))
