"""What Grafana is given."""
