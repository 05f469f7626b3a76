"""Synthetic neurons: systems whose truth is known, made of a detector and an expression of concepts."""
