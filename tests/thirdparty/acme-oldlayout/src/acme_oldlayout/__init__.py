"""Written before `maia_core.plugin`."""
