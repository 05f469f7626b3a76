"""Spreads a sweep or an evaluation over several processes of this machine."""
