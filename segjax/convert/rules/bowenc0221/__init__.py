"""Modules of https://github.com/bowenc0221/panoptic-deeplab."""
