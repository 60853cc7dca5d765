"""A fitted estimator as data: names of types, numbers, text and arrays, and nothing that runs."""
