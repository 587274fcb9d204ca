"""Modules of HRNet's authors, https://github.com/HRNet."""
