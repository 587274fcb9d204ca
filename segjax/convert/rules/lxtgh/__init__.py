"""Modules of SFNet's authors, https://github.com/lxtGH/SFSegNets."""
