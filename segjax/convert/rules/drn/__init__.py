"""Modules of fyu/drn, https://github.com/fyu/drn."""
