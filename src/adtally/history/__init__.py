"""History: clicks that were recorded elsewhere, or could not be read, brought into the event log."""
