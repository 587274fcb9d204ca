"""PIDNet's author, https://github.com/XuJiacong/PIDNet."""
