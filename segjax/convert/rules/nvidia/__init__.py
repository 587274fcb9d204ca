"""Modules of https://github.com/NVIDIA/semantic-segmentation."""
