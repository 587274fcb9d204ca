"""Modules of https://github.com/DeepMotionAIResearch/DenseASPP."""
