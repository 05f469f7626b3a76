"""`tools.vocabulary`: what images can be asked for, where the generator can show some things only."""

from __future__ import annotations

from collections.abc import Callable

from maia_core.plugin import NONE, PluginConfig, RunContext


class Vocabulary:
    """Lists the words of the run's generator; not offered for a generator that takes any words."""

    uses = ()

    is_free = True

    def __init__(self, config: PluginConfig, context: RunContext) -> None:
        self._context = context

    @property
    def is_offered(self) -> bool:
        """Whether the run's generator can show some things only."""
        return self._words is not None

    @property
    def _words(self) -> Callable[[str], list[str]] | None:
        generator = self._context.config.generator
        return None if generator.name == NONE else getattr(self._context.generator, "vocabulary", None)

    def __call__(self, kind: str = "") -> list[str]:
        """Lists what prompts and edits can ask for: the generator knows no other things.

        Args:
            kind: A kind of words; empty: list the kinds, such as "things" and "backgrounds". The name of a broader
                thing, such as "mammal", lists the things below it.

        Returns:
            The words.

        Example:
            >>> def run_experiment(system, tools):
            ...     print(tools.vocabulary())
            ...     print(tools.vocabulary("mammal"))
        """
        return self._words(kind) if self._words else []
