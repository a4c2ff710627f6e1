"""Makes traffic, writes down the truth about it, and holds the numbers against it."""
