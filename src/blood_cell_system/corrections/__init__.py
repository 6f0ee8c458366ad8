"""What people correct in results: the record, its log, and the cells that come of it."""
