"""Backups of a data folder: what one is made of, how it is made, checked and restored."""
