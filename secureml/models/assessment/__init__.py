"""What a model gives away through its answers, measured by attacks on the sealed model."""
