"""Algorithms chosen by platform: convolutions, barriers and conditionals."""
