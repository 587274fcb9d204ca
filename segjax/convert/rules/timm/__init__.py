"""timm 1.0.31, https://github.com/huggingface/pytorch-image-models."""
