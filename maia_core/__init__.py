"""The minimal core of MAIA: protocols, discovery, the loop, the record and the sandbox.

Read `maia_core.protocols` first, then `maia_core.agent`: together they are the whole system.
"""

__version__ = "0.2.0"

API = 1
"""Number of the plugin API: it rises with every change that could break a plugin (see the changelog)."""
