"""From an image to classified cells: runtimes, scale, quality, segmentation, classification."""
