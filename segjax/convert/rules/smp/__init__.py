"""segmentation_models_pytorch 0.6.0, of qubvel-org on GitHub."""
