"""Modules of NVlabs, https://github.com/NVlabs: SegFormer."""
