"""DINOv2 of its authors, https://github.com/facebookresearch/dinov2."""
