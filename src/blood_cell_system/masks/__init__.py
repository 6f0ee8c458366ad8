"""From boxes and stain to class masks on disk."""
