"""From the outputs of a model to predictions at the size of an image."""
