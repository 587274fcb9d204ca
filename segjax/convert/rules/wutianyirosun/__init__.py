"""CGNet's authors, https://github.com/wutianyiRosun/CGNet."""
