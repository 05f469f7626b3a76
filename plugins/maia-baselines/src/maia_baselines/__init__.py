"""Explainers on equal terms: the same exemplars, the same concept set and the same describer for all."""
