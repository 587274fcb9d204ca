"""Detectron2, https://github.com/facebookresearch/detectron2."""
