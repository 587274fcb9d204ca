"""Modules of EMANet's author, https://github.com/XiaLiPKU/EMANet."""
