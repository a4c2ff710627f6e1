"""What Prometheus is given, and its own tool to check it."""
