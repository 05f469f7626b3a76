"""The kit for tests of plugins: a fake and a conformance suite for every kind, sample images, a host for sandboxes.

    from maia_core.testing import DistributionSuite, SystemSuite, fake_parts

Each name is imported when it is first used; `__init__.pyi` is the list of names. Suites need pytest:
`pip install 'maia-core[test]'`. Fakes need nothing beside core.
"""

import sys

import lazy_loader

if pytest := sys.modules.get("pytest"):
    # Failing asserts of a suite then show their values, as those of the author's own tests do.
    pytest.register_assert_rewrite(f"{__name__}.suites")

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
