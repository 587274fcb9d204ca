"""Process-wide setup: hosts, compilation cache, memory and terminal."""
