"""Measures explanations of units, on equal terms and with intervals."""
