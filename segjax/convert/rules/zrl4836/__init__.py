"""Modules of https://github.com/zrl4836/ACFNet."""
