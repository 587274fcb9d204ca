"""Semantic segmentation systems in JAX and Flax."""
