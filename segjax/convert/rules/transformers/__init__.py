"""Models of https://github.com/huggingface/transformers.

Names are those of version 5; where those of version 4 differ, both are read.
"""
