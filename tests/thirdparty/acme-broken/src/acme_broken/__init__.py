"""Needs something that is not there."""

import acme_missing_dependency  # noqa: F401
