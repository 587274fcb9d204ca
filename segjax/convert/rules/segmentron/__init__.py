"""SegmenTron, https://github.com/LikeLy-Journey/SegmenTron."""
