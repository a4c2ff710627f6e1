"""adtally counts ad clicks exactly once, durably, and lets advertisers read the numbers."""

__version__ = "0.1.0"
