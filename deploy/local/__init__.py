"""A whole cluster on one machine, out of package registries, without root and without containers."""
