"""Modules of https://github.com/openseg-group/openseg.pytorch."""
