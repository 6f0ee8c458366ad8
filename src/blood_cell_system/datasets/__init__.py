"""From files to samples: one format a file."""
