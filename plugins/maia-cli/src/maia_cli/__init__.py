"""The commands `maia run`, `maia prompt` and `maia plugins`, and the options that other commands share with them."""

import lazy_loader

# The names are in `__init__.pyi`; each is imported when it is first used, so that `maia --help` stays fast.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
