"""Spurious features of an image classifier: which units to keep, and what that does to the accuracy."""
