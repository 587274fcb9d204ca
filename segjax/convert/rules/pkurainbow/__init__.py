"""Modules of OCNet's authors, https://github.com/PkuRainBow/OCNet.pytorch."""
