"""`tools.class_exemplars`: the images of a class to which the model responds most and least."""

from __future__ import annotations

from pydantic import Field

from maia_bias.response import class_of, response_to
from maia_bias.whole import WholeModel, find_class
from maia_core.plugin import Image, LabelledDataset, PluginConfig, RunContext, ToolError, UnreadableImage, UsageError

BATCH = 64


class ClassExemplars:
    """Measures the images of a class in the run's data set, and shows both ends."""

    uses = ()

    class Config(PluginConfig):
        """Options of `class_exemplars`."""

        count: int = Field(10, gt=0, le=200)
        """Images that are shown of each end."""
        measured: int = Field(600, gt=0, le=100_000)
        """Images of the class that are measured at most, spread evenly over the data set."""

    def __init__(self, config: Config, context: RunContext) -> None:
        self._config = config
        self._context = context

    def __call__(self, class_name: str = "") -> tuple[list[float], list[Image]]:
        """Finds the real images of a class to which the model responds most, and those to which it responds least.

        Compare the two ends: what do the lowest images of the class have in common that the highest ones lack? This
        suggests hypotheses and does not show causes. Where the data set does not say which images show the class, you
        get its highest images only, and a note.

        Args:
            class_name: A class of the model; if you study a unit, leave it out or name the unit's class.

        Returns:
            Two lists: the responses, and the images, titled "highest 1", "highest 2", ..., "lowest 1", "lowest 2", ...
            The highest come first, from the top down; then the lowest, from the bottom up.

        Example:
            >>> def run_experiment(system, tools):
            ...     responses, images = tools.class_exemplars()
            ...     notes = tools.describe_images(images, [image.title for image in images])
            ...     tools.log_experiment(responses, images, [image.title for image in images], notes)

        Example:
            >>> def run_experiment(system, tools):
            ...     return tools.class_exemplars()
        """
        name = self._allowed(class_name)
        try:
            response = response_to(self._context, name)
        except UsageError as error:
            raise ToolError(str(error)) from error
        places = self._of_class(name)
        labelled = bool(places)
        measured: list[tuple[float, int, Image]] = []
        every = places or list(range(len(self._context.dataset)))
        count = min(len(every), self._config.measured)
        chosen = [every[n * len(every) // count] for n in range(count)]
        for start in range(0, len(chosen), BATCH):
            batch = [(place, image) for place in chosen[start : start + BATCH] if (image := self._read(place))]
            values = response([image for _, image in batch]) if batch else []
            measured += [(value, place, image) for value, (place, image) in zip(values, batch, strict=True)]
        ranked = sorted(measured, key=lambda item: (-item[0], item[1]))
        return self._shown(name, ranked, labelled, len(every))

    def _allowed(self, class_name: str) -> str:
        """Returns the class that a call is about; the data set's other labels stay hidden from programs.

        Raises:
            ToolError: the call names no class, or another class than that of the unit.
        """
        system: object = self._context.system
        if isinstance(system, WholeModel):
            if not class_name:
                raise ToolError("class_exemplars needs the name of a class of the model")
            return class_name
        stated = str(self._context.config.task.options.get("class_name") or "")
        own = " ".join(stated.split()) or class_of(self._context.system)
        if not own:
            raise ToolError("class_exemplars cannot list images of a class: the unit is not a unit of a class")
        if class_name and find_class(class_name, [own, self._context.system.info.unit]) is None:
            raise ToolError(f"class_exemplars lists images of '{own}' only, the class of the unit; leave out the name")
        return own

    def _shown(
        self, name: str, ranked: list[tuple[float, int, Image]], labelled: bool, available: int
    ) -> tuple[list[float], list[Image]]:
        context, count = self._context, self._config.count
        if not ranked:
            raise ToolError("the data set holds no readable image")
        middle = ranked[len(ranked) // 2][0]
        if labelled:
            context.show(
                f"{len(ranked)} of {available} images of '{name}' were measured: highest {ranked[0][0]:.4g}, median "
                f"{middle:.4g}, lowest {ranked[-1][0]:.4g}."
            )
        else:
            context.show(
                f"Note: the data set {context.dataset.name} does not say which of its images show '{name}'. These are "
                f"the highest of {len(ranked)} images of anything; the lowest images of '{name}' are not known."
            )
        count = min(count, (len(ranked) + 1) // 2) if labelled else count
        low = ranked[::-1][:count] if labelled else []
        titled = [(value, image.retitled(f"highest {n}")) for n, (value, _, image) in enumerate(ranked[:count], 1)]
        titled += [(value, image.retitled(f"lowest {n}")) for n, (value, _, image) in enumerate(low, 1)]
        return [value for value, _ in titled], [image for _, image in titled]

    def _of_class(self, name: str) -> list[int]:
        """Returns the places of the images that the data set's labels call by the class's name."""
        dataset = self._context.dataset
        system: object = self._context.system
        if not isinstance(dataset, LabelledDataset):
            return []
        wanted = system.find(name) if isinstance(system, WholeModel) else name
        known: dict[str, bool] = {}
        places = []
        for place in range(len(dataset)):
            for concept in dataset.concepts(place):
                if concept not in known:
                    known[concept] = find_class(concept, [wanted]) is not None
                if known[concept]:
                    places.append(place)
                    break
        return places

    def _read(self, place: int) -> Image | None:
        try:
            return self._context.dataset[place]
        except UnreadableImage:
            return None
