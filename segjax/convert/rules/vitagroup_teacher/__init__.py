"""The teacher of https://github.com/VITA-Group/FasterSeg."""
