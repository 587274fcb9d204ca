"""Modules of https://github.com/VITA-Group/FasterSeg."""
