"""ESPNet's authors, https://github.com/sacmehta/ESPNet."""
