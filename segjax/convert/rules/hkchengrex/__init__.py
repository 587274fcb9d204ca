"""Modules of CascadePSP's authors, https://github.com/hkchengrex."""
