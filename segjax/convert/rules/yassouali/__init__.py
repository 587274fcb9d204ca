"""pytorch-segmentation by yassouali, on GitHub."""
