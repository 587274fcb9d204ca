"""Refinement of probabilities after prediction."""
