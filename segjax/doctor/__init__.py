"""Checks a data set and the machine before a first run; see `__main__`."""
