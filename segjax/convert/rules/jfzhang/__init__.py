"""Modules of https://github.com/jfzhang95/pytorch-deeplab-xception."""
