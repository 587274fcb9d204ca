"""The cases, by the source that the original comes from."""
