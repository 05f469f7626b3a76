"""An image editor that changes a collage's scene as instructed and draws it again: all else stays pixel-identical."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import JsonValue

from maia_collage.changes import apply
from maia_collage.compose import generator
from maia_collage.edited_scene import EditedScene
from maia_collage.generator import GRAMMAR
from maia_collage.instruction import UNDERSTOOD, read
from maia_collage.nearest import method
from maia_collage.pack import Part, find, part_of
from maia_collage.scene import VERSION, image, scene_of
from maia_collage.select import sentence
from maia_core.plugin import GeneratedImages, Image, PluginConfig, RunContext, UsageError, content_id, recordable


class CollageEditor:
    """Edits collages as instructed, or leaves the image as it is, with a warning that says why."""

    cache_name = "collage-edits"
    batched = False

    class Config(PluginConfig):
        """Options of the editor `collage`."""

        pack: str = ""
        """A pack's folder or kind (`photographs`, `drawings`); empty: the first that was fetched."""
        cutouts: Part = "all"
        """Which cut-outs are drawn: `seen` and `held-out` are halves that share none where a concept has several."""

    def __init__(self, config: Config, context: RunContext) -> None:
        self.pack = find(config.pack, context.cache).part(config.cutouts)
        drawn = f"editor/{GRAMMAR}/{VERSION}/{self.pack.fingerprint}/{method()}{part_of(config.cutouts)}"
        self.fingerprint = content_id(drawn.encode())

    def edit(self, images: Sequence[Image], instructions: Sequence[str], seeds: Sequence[int]) -> GeneratedImages:
        """Edits each image by its instruction; several changes may be joined by "and".

        Raises:
            UsageError: images, instructions and seeds are not equally many, or the pack is damaged.
        """
        if not len(images) == len(instructions) == len(seeds):
            raise UsageError(
                f"{len(images)} images need as many instructions and seeds, not {len(instructions)} and {len(seeds)}"
            )
        done = [self._edit(*one) for one in zip(images, instructions, seeds, strict=True)]
        return GeneratedImages([picture for picture, _ in done], [warning for _, warning in done])

    def _edit(self, picture: Image, instruction: str, seed: int) -> tuple[Image, str]:
        clean, instruction = picture.clean or picture, recordable(instruction)
        scene = scene_of(picture, self.pack)
        if scene is None:
            return clean, "unchanged: only images that the collage laboratory drew can be edited by it"
        asked = clean.provenance.get("prompt")
        work = EditedScene(scene, self.pack, generator(seed, instruction), asked is not None)
        edits = read(instruction)
        if not edits:
            work.warnings.append(f"unchanged: the instruction is empty. Understood are: {UNDERSTOOD}")
        for edit in edits:
            apply(work, edit)
        if work.scene == scene:
            return clean, "; ".join(work.warnings) or "unchanged: the image is like that already"
        title = f"{clean.title}, {instruction}" if clean.title else instruction
        origin: dict[str, JsonValue] = {"instruction": instruction, "seed": seed, "edited_from": clean.id}
        if work.generated:
            origin["prompt"] = asked
        edited = image(work.scene, self.pack, clean.width, title, **origin)
        shows = sentence(work.scene, self.pack) if work.generated else ""
        return edited.showing(shows), "; ".join(work.warnings)
