"""Imports something large at once and does not declare it, is not a factory, and has a silent option."""

import setuptools

from maia_core.config import PluginConfig


class Heavy:
    """Draws nothing."""

    class Config(PluginConfig):
        """Options."""

        size: int = 1

    fingerprint = setuptools.__name__

    def __init__(self, size: int) -> None:
        self.size = size
