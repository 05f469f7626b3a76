"""The laboratory's engines as a run uses them: what was drawn is kept, and not drawn again."""

from __future__ import annotations

from maia_cache import CachedEditor, CachedGenerator, shared
from maia_collage.editor import CollageEditor
from maia_collage.generator import CollageGenerator
from maia_core.plugin import RunContext


class Generator(CachedGenerator):
    """Draws prompts as collages; the same prompt and seed is drawn once over all runs."""

    Config = CollageGenerator.Config

    def __init__(self, config: CollageGenerator.Config, context: RunContext) -> None:
        super().__init__(CollageGenerator(config, context), shared(context), "collage")


class Editor(CachedEditor):
    """Edits collages as instructed; the same edit is made once over all runs."""

    Config = CollageEditor.Config

    def __init__(self, config: CollageEditor.Config, context: RunContext) -> None:
        super().__init__(CollageEditor(config, context), shared(context), "collage-edits")
