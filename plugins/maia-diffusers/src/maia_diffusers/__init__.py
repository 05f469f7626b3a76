"""Diffusion models as image generators and editors."""
