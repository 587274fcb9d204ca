"""DDRNet's author, https://github.com/ydhongHIT/DDRNet."""
