"""From files of pictures to files of results: the system, one picture, a batch of them."""
