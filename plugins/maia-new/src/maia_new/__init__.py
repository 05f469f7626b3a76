"""Writes the files of a new plugin."""
