"""`python -m tests.faults`: faults made for real, and what a run makes of them.

Processes are killed, disks fill up and turn read-only, files are damaged. Every
fault has a promise; the program counts how often it was kept.
"""
