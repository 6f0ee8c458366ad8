"""One file a format: how it is recognised, read and, for some, written."""
