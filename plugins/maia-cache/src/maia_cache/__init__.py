"""Keeps what expensive engines made, named by what it was made from, so that nothing is computed or paid for twice."""

from maia_cache.engines import CachedDescriber, CachedEditor, CachedGenerator
from maia_cache.forms import ARRAYS, PICTURE, TEXT, Picture
from maia_cache.store import DEFAULT_BYTES, ContentCache, shared

__all__ = [
    "ARRAYS",
    "DEFAULT_BYTES",
    "PICTURE",
    "TEXT",
    "CachedDescriber",
    "CachedEditor",
    "CachedGenerator",
    "ContentCache",
    "Picture",
    "shared",
]
