"""How fast it is, alone and beside others.

`python -m segjax.benchmark --help`. What computes does so in processes of its
own, workers, that wait while another is timed; see `protocol`.
"""
