"""The process of a program: hosts, compiled programs, memory, terminal."""
