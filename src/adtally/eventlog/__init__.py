"""The durable log of every event."""
