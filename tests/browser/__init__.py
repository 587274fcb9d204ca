"""`python -m tests.browser`: the pages, opened and clicked in Chromium."""
