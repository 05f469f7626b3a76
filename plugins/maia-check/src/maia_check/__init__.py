"""Checks the parts of a run before one is paid for."""
