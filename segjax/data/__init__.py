"""Data: readers of data sets, label maps, transforms, the input pipeline."""
