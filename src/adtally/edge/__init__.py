"""The HTTP edge: judges a click, keeps it, sends the person on."""
