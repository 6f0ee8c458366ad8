"""The results of a batch as one page that opens from the disk, without a network."""
