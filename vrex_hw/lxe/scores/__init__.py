"""The score path: raw scores of two batches, and their weights on the way to the WTU."""
