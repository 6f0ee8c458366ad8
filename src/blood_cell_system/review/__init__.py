"""The review of results in a browser: a server on this computer."""
