"""From files of images to files of results: the system, one image, a batch of them."""
