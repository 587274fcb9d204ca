"""Modules of https://github.com/zijundeng/pytorch-semantic-segmentation."""
