"""Advertisers, campaigns, ads and API keys."""
