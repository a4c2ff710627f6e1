"""The supervisor behind `adtally up`."""
