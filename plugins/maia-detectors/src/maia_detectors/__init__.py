"""Detectors of the transformers library: text to boxes, scores and masks."""
