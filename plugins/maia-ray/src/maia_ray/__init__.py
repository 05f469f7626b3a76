"""The runner `ray`: spreads the units of a sweep over a Ray cluster. Nothing imports Ray before the runner works."""
