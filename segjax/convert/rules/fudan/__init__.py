"""SETR's authors, https://github.com/fudan-zvg/SETR."""
