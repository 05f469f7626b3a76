"""Has every explainer explain every unit, before anything is scored: no explainer can know how it is graded."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from maia_core.config import CHOICES, Choice, RunConfig
from maia_core.context import ONE_RUN, Context
from maia_core.errors import RecordError, one_line
from maia_core.record import MANIFEST, RunReader
from maia_core.registry import Registry
from maia_core.types import Explanation, Usage
from maia_eval.choices import Spec, adjusted
from maia_eval.results import Explained, Folder

Say = Callable[[str], None]

RUN = "run"
"""Where an explanation's details hold the folder of its run."""

MOST = 20_000
"""Characters of a text from an explainer that are kept."""

KEPT = frozenset(CHOICES) - frozenset(ONE_RUN)
"""Parts that a context keeps from run to run: an explainer that changes one needs a context of its own."""


class Contexts:
    """The contexts of an evaluation: one for all, and one for each explainer that changes an engine."""

    def __init__(
        self, config: RunConfig, runs: Path, registry: Registry | None = None, say: Say = lambda line: None
    ) -> None:
        self.main = Context(config, registry)
        self._say = say
        self._noted: set[str] = set()
        self._config = config
        self._runs = runs
        self._own: dict[str, Context] = {}
        self._options = config.system.options if config.system else {}

    def on(self, unit: str, spec: Spec | None = None) -> Context:
        """Returns a context that is at a unit, as an explainer wants it.

        Raises:
            UsageError: the explainer sets a key that the configuration does not have.
        """
        context, config = self.main, self._config
        if spec is not None:
            runs = str(self._runs / spec.alias)
            config = adjusted(config, spec.run).model_copy(update={"runs": runs})
            if any(key.partition(".")[0] in KEPT for key in spec.run):
                if spec.alias not in self._own:
                    self._own[spec.alias] = Context(config, context.registry)
                context = self._own[spec.alias]
        context.config = config
        context.seed = config.seed
        context.restart(Choice(name=unit, **self._options))
        context.warn_to(self._note)
        return context

    def _note(self, line: str) -> None:
        """Says a part's warning once: a stand-in, files that were skipped."""
        if line not in self._noted:
            self._noted.add(line)
            self._say(f"note: {line}")


def explain_all(contexts: Contexts, specs: Sequence[Spec], units: Sequence[str], folder: Folder, say: Say) -> None:
    """Explains what has not been explained yet. An explainer that fails on a unit is recorded as having said nothing.

    Raises:
        MaiaError: an explainer cannot be built, or a unit does not exist: said before any work is done.
    """
    for unit in units:
        if any(folder.read(Explained, "explanations", unit, each.alias) is None for each in specs):
            _ = contexts.on(unit).system
    for each in specs:
        context = contexts.on(units[0], each)
        context.build("explainer", each.name, **each.options)
    for number, unit in enumerate(units, 1):
        for each in specs:
            if folder.read(Explained, "explanations", unit, each.alias) is None:
                explained = _explain(contexts, each, unit, folder.path)
                folder.write(explained, "explanations", unit, each.alias)
                said = " OR ".join(explained.labels) or f"no label ({explained.error})"
                say(f"{number}/{len(units)} {unit} {each.alias}: {said}")


def _explain(contexts: Contexts, spec: Spec, unit: str, root: Path) -> Explained:
    start = time.monotonic()
    context = contexts.on(unit, spec)
    before = context.spent
    try:
        explainer = context.build("explainer", spec.name, **spec.options)
        explanation: Explanation = explainer.explain(context.system, context)
    except Exception as error:
        # Also a plugin's own mistake: the other explainers and units go on, as in a sweep.
        failed = one_line(error)[:500]
        return Explained(explainer=spec.alias, unit=unit, error=failed, seconds=time.monotonic() - start)
    labels = tuple(dict.fromkeys(filter(None, (_recordable(label).strip() for label in explanation.labels))))
    description = _recordable(explanation.description)
    seconds = time.monotonic() - start
    run, usage, verified, before_now = _run(explanation, root)
    return Explained(
        explainer=spec.alias,
        unit=unit,
        labels=labels,
        description=description,
        error="" if labels else f"it gave no label: {description}"[:500],
        verified=verified,
        run=run,
        seconds=max(seconds, before_now),
        usage=usage if run else context.spent - before,
        details={key: value for key, value in explanation.details.items() if key != RUN},
    )


def _recordable(text: str) -> str:
    """Returns a text of bounded length without lone surrogates, which no record can hold."""
    return text[:MOST].encode("utf-8", "replace").decode()


def _run(explanation: Explanation, root: Path) -> tuple[str, Usage, bool | None, float]:
    """Returns the folder of the run that made an explanation, all that it used, the verdict on it, and its seconds."""
    place = explanation.details.get(RUN)
    if not isinstance(place, str) or not (Path(place) / MANIFEST).is_file():
        return "", Usage(), None, 0.0
    try:
        outcome = RunReader(Path(place)).outcome
    except RecordError:
        outcome = None
    if outcome is None:
        return os.path.relpath(place, root), Usage(), None, 0.0
    verdict = outcome.verdict
    passed = verdict.passed if verdict is not None and verdict.measured else None
    return os.path.relpath(place, root), outcome.usage, passed, outcome.seconds
