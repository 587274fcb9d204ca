"""Modules of https://github.com/NoamRosenberg/autodeeplab."""
