"""An image generator that draws what a prompt says, from the pack."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field, JsonValue

from maia_collage import colours
from maia_collage.backgrounds import drawable
from maia_collage.compose import SCALES, compose
from maia_collage.layout import ZONES
from maia_collage.nearest import method
from maia_collage.pack import Part, find, part_of
from maia_collage.scene import VERSION, image
from maia_collage.select import sentence
from maia_core.plugin import (
    GeneratedImages,
    Image,
    PluginConfig,
    RunContext,
    ToolError,
    UsageError,
    content_id,
    did_you_mean,
    recordable,
)
from maia_labels.vocabulary import vocabulary

GRAMMAR = 4
"""Raised whenever the same prompt and seed would give another scene."""


class CollageGenerator:
    """Draws prompts as collages of cut-outs before a background; a warning names the words that it cannot draw."""

    cache_name = "collage"
    batched = False

    class Config(PluginConfig):
        """Options of the generator `collage`."""

        size: int = Field(224, ge=16, le=2048)
        """Side of an image in pixels."""
        pack: str = ""
        """A pack's folder or kind (`photographs`, `drawings`); empty: the first that was fetched."""
        cutouts: Part = "all"
        """Which cut-outs are drawn: `seen` and `held-out` are halves that share none where a concept has several."""

    def __init__(self, config: Config, context: RunContext) -> None:
        self.pack = find(config.pack, context.cache).part(config.cutouts)
        self.size = config.size
        drawn = f"{GRAMMAR}/{VERSION}/{self.pack.fingerprint}/{config.size}/{method()}{part_of(config.cutouts)}"
        self.fingerprint = content_id(drawn.encode())

    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> GeneratedImages:
        """Draws one image per prompt: same prompt and seed, same pixels.

        Raises:
            UsageError: there are not as many seeds as prompts, or the pack is damaged.
        """
        if len(prompts) != len(seeds):
            raise UsageError(f"{len(prompts)} prompts need as many seeds, not {len(seeds)}")
        drawn = [self._draw(prompt, seed) for prompt, seed in zip(prompts, seeds, strict=True)]
        return GeneratedImages([picture for picture, _ in drawn], [warning for _, warning in drawn])

    def _draw(self, prompt: str, seed: int) -> tuple[Image, str]:
        prompt = recordable(prompt)
        scene, warning, missing = compose(prompt, seed, self.pack)
        lacks: dict[str, JsonValue] = {"missing": list(missing)} if missing else {}
        drawn = image(scene, self.pack, self.size, prompt, prompt=prompt, seed=seed, **lacks)
        return drawn.showing(sentence(scene, self.pack)), warning

    def vocabulary(self, kind: str) -> list[str]:
        """Lists what prompts can ask for: the kinds of words (an empty `kind`), or those of one kind.

        A kind is `things`, `backgrounds`, `colours`, `sizes`, `positions`, or a broader thing such as `mammal`.

        Raises:
            ToolError: there is no such kind.
        """
        concepts = vocabulary().concepts
        kinds = {
            "things": [name for name in concepts if self.pack.members(name)],
            "backgrounds": list(drawable(self.pack)),
            "colours": list(colours.RGB),
            "sizes": list(SCALES),
            "positions": list(ZONES),
        }
        if kind in concepts and kind not in kinds:
            return [name for name in concepts.below(kind)[1:] if self.pack.members(name)]
        if kind and kind not in kinds:
            broader = dict.fromkeys(parent for parent in concepts.parent.values() if parent)
            near = did_you_mean(kind, [*kinds, *broader])
            raise ToolError(f"there are no words of the kind '{kind}'.{near} Kinds are {', '.join(kinds)}")
        return kinds.get(kind, list(kinds))
