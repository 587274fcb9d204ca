"""mmsegmentation 1.2.2, https://github.com/open-mmlab/mmsegmentation."""
