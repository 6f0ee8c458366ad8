"""Many images on many machines: listing them, sharing the work out, and one dataset of results."""
