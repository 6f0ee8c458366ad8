"""Getting public data sets: whole or not at all, and only after their licence was accepted."""
