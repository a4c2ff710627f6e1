"""A local buffer in front of any event log."""
