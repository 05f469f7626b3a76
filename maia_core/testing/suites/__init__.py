"""Conformance suites: one class per kind of plugin, which an author's tests subclass.

    class TestMine(SystemSuite):
        @pytest.fixture
        def system(self):
            return Mine(Mine.Config(), None)

Each test catches a mistake that plugins really make. The parts that a suite tests come from fixtures; class attributes
say which of the allowed behaviours a plugin has.
"""
