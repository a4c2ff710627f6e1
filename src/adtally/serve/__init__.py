"""The API and the page over it."""
