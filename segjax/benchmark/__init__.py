"""Benchmarks of segjax, alone and against other libraries.

Run `python -m segjax.benchmark --help`. Each library computes in a worker, a
process of its own that waits while another is timed; see `protocol`.
"""
