"""segmentation_models_pytorch 0.6.0 by qubvel-org, on GitHub."""
