"""Modules of PSPNet's author, https://github.com/hszhao/semseg."""
