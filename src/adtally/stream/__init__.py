"""Deduplicates and counts what the log holds, as it comes."""
