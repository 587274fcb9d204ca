"""Modules of https://github.com/LinZhuoChen/DUpsampling."""
