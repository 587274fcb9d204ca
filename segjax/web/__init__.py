"""Pages for a browser: HTML of values that others compute, no network."""
