"""The public API of MAIA: all that a plugin, a command or a script imports.

    from maia_core.plugin import Image, PluginConfig, RunContext, UsageError

Each name is imported when it is first used, so a plugin pays only for the names that it uses. `plugin.pyi` is the list
of names. Every other module of `maia_core` is private and may change in any release, except `maia_core.testing`, the
kit for tests of plugins.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub("maia_core", __file__)
