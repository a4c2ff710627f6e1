"""The store that queries are answered from."""
