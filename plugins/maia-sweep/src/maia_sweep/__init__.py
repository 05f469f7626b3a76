"""Explains several units, in one process or spread over several processes of this machine."""
