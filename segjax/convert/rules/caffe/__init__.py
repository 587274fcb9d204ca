"""Releases for Caffe, by the names of their layers."""
