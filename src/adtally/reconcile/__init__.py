"""Counts finished hours again from the raw events, compares, publishes, and notes what was found."""
