"""Decides the next step: which hypotheses to test, and when to conclude."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from maia_heuristic import designs, programs
from maia_heuristic.conclusion import conclude
from maia_heuristic.evidence import Evidence, alternatives, redundant, weigh
from maia_heuristic.hypotheses import Concept, Fit
from maia_heuristic.programs import Condition
from maia_heuristic.reading import Notebook, labels_in
from maia_heuristic.wording import label, short

WEAK = 0.5
"""A best rule whose positives stay below this share of the exemplars' response leaves something to find."""
RIVALS, CLOSE = 6, 12.0
"""How many other rules are considered when the best one was refuted, and how much worse they may fit."""
ROUNDS = 2
"""Most rounds of telling near hypotheses apart, per stage."""


class Step(NamedTuple):
    """One reply: an experiment (`program`) or the answer.

    Attributes:
        reasoning: A paragraph for people.
        hypotheses: Present hypotheses with their standing.
        program: Source of the experiment; empty for the answer.
        answer: The final sections; empty for an experiment.
    """

    reasoning: str
    hypotheses: list[str]
    program: str = ""
    answer: str = ""


def next_step(notebook: Notebook, seed: int) -> Step:
    """Decides what to do next. The same notebook and seed give the same step."""
    evidence = weigh(notebook)
    out_of_turns = notebook.turns_left is not None and notebook.turns_left <= 1
    if not notebook.final and not out_of_turns:
        for stage in _STAGES:
            if step := stage(evidence, seed):
                return step
    return conclude_step(evidence, seed)


def conclude_step(evidence: Evidence, seed: int) -> Step:
    """Returns the final answer: of rules that explain the measurements about as well, one that was not refuted."""
    reasoning, answer = first = conclude(evidence, seed)
    others = alternatives(evidence, most=RIVALS, within=CLOSE) if evidence.notebook.refuted else []
    rivals = iter([fit for fit in others if fit.score > evidence.best.score - CLOSE])
    while labels_in(answer) in evidence.notebook.refuted:
        rival = next(rivals, None)
        if rival is None:
            reasoning, answer = first
            break
        if rival.rule:
            reasoning, answer = conclude(replace(evidence, best=rival), seed)
    return Step(reasoning, [], answer=answer)


# --- the stages, in order; each returns a step or None when it has nothing (more) to ask ------------------------------


def _exemplars(evidence: Evidence, seed: int) -> Step | None:
    notebook = evidence.notebook
    if "dataset_exemplars" not in notebook.tools or notebook.exemplars:
        return None
    open_minded = [
        "The unit responds to an object, a kind of objects, a colour, a texture, a background, or two of them."
    ]
    if "exemplars" not in notebook.done:
        say = "I begin with the exemplars: what is in their active regions, and what surrounds these."
        return Step(say, open_minded, programs.exemplars_program("exemplars", notebook.tools))
    if "exemplars, plainly" not in notebook.done:
        say = "Looking at the exemplars failed; I ask for them without descriptions."
        return Step(say, open_minded, programs.bare_exemplars_program("exemplars, plainly"))
    return None


def _survey_things(evidence: Evidence, seed: int) -> Step | None:
    say = (
        "The exemplars suggest these things, but what they show most need not be the cause. I measure each of them "
        "alone on plain grey, at several levels of abstraction, beside a broad sample of unrelated things as controls."
    )
    return _experiment(
        evidence, "things", say, lambda: designs.survey_things(evidence, _rng(seed, "things")), describe=True
    )


def _survey_looks(evidence: Evidence, seed: int) -> Step | None:
    say = (
        "Objects come with colours, textures and backgrounds. I measure these apart: the same things in every colour, "
        "the same things before every background, and plain colours, scenes and patterns with nothing on them."
    )
    return _experiment(
        evidence, "looks", say, lambda: designs.survey_looks(evidence, _rng(seed, "looks")), describe=True
    )


def _separate(evidence: Evidence, seed: int) -> Step | None:
    return _rounds(evidence, "telling apart")


def _together(evidence: Evidence, seed: int) -> Step | None:
    if not evidence.notebook.exemplars or (
        evidence.best.rule and not _weak(evidence) and not _late(evidence, "together")
    ):
        return None
    say = (
        "Nothing that I showed alone comes near the exemplars. The unit may need two things at once, so I rebuild the "
        "exemplars from their parts: what is in the active region with what surrounds it."
    )
    return _experiment(evidence, "together", say, lambda: designs.recreate(evidence), describe=True)


def _separate_together(evidence: Evidence, seed: int) -> Step | None:
    return _rounds(evidence, "telling pairs apart", rounds=3) if "together" in evidence.notebook.done else None


def _edit(evidence: Evidence, seed: int) -> Step | None:
    if not evidence.best.rule or "edit_images" not in evidence.notebook.tools:
        return None
    say = (
        f"So far {short(evidence.best.rule)} explains the activations best. I take scenes that show it and change one "
        "factor at a time (the object, its colour, the background): only the cause may matter."
    )
    return _experiment(evidence, "edits", say, lambda: designs.edits(evidence), edit=True)


def _separate_again(evidence: Evidence, seed: int) -> Step | None:
    return _rounds(evidence, "telling apart after edits", rounds=1)


def _confirm(evidence: Evidence, seed: int) -> Step | None:
    if not evidence.best.rule:
        return None
    say = (
        f"Before I conclude, I try to refute {short(evidence.best.rule)} with fresh images made from the claim alone: "
        "it must hold in surroundings that I have not used, and near misses and strangers must stay low."
    )
    return _experiment(
        evidence, "confirmation", say, lambda: designs.confirm(evidence, _rng(seed, "confirm")), regions=True
    )


def _mend(evidence: Evidence, seed: int) -> Step | None:
    attempt = len(evidence.notebook.refuted)
    if not attempt:
        return None
    say = (
        "My answer was tested and does not hold: it is too broad, or it misses something. I measure more of what it "
        "claims, cases that I have not looked at, and rebuild the exemplars that it does not account for."
    )
    name = f"mending {attempt}"
    return _experiment(evidence, name, say, lambda: designs.mend(evidence, _rng(seed, name)), describe=True)


def _separate_mended(evidence: Evidence, seed: int) -> Step | None:
    attempt = len(evidence.notebook.refuted)
    return _rounds(evidence, f"telling apart after mending {attempt}:", rounds=3) if attempt else None


def _confirm_mended(evidence: Evidence, seed: int) -> Step | None:
    attempt = len(evidence.notebook.refuted)
    if not attempt or not evidence.best.rule:
        return None
    name = f"confirmation after mending {attempt}"
    say = f"I try to refute {short(evidence.best.rule)}, which is now the best, with fresh images made from it alone."
    return _experiment(evidence, name, say, lambda: designs.confirm(evidence, _rng(seed, name)), regions=True)


_STAGES: tuple[Callable[[Evidence, int], Step | None], ...] = (
    _exemplars,
    _survey_things,
    _survey_looks,
    _separate,
    _together,
    _separate_together,
    _edit,
    _separate_again,
    _confirm,
    _mend,
    _separate_mended,
    _confirm_mended,
)


def _rounds(evidence: Evidence, name: str, rounds: int = ROUNDS) -> Step | None:
    """Tells the hypotheses that are left apart, until they agree or the rounds are used up."""
    done = sum(experiment.startswith(f"{name} ") for experiment in evidence.notebook.done)
    if not evidence.best.rule or done >= rounds or _late(evidence, name):
        return None
    plan = designs.separate(evidence)
    if not plan:
        return None
    near = [fit for fit in _distinct(evidence, most=12, within=18.0) if fit.rule != evidence.best.rule]
    rivals = ", ".join(short(fit.rule) for fit in near[:3]) or "with fewer terms"
    say = (
        f"{short(evidence.best.rule)} explains the activations best so far (R2 = {evidence.best.r2:.2f}), but other "
        f"rules come close ({rivals}). I measure the scenes about which they disagree most."
    )
    return _experiment(evidence, f"{name} {done + 1}", say, lambda: plan, describe=True)


def _experiment(
    evidence: Evidence,
    name: str,
    say: str,
    plan: Callable[[], list[Condition]],
    describe: bool = False,
    regions: bool = False,
    edit: bool = False,
) -> Step | None:
    """Returns the experiment of that name, once; if it failed, once more prompt by prompt."""
    notebook = evidence.notebook
    if "text2image" not in notebook.tools or _late(evidence, name):
        return None
    careful = f"{name}, one by one"
    if name not in notebook.done:
        conditions = plan()
        if not conditions:
            return None
        if edit:
            program = programs.edit_program(name, conditions)
        else:
            program = programs.measure_program(name, conditions, notebook.tools, describe, regions)
        return Step(say, standing(evidence), program)
    if name in notebook.failed and careful not in notebook.done and not edit:
        say = "That program failed, so I measure the same conditions one by one and leave out what cannot be made."
        return Step(say, standing(evidence), programs.careful_program(careful, plan()))
    return None


def _late(evidence: Evidence, name: str) -> bool:
    """Says whether a later stage has begun, so that an earlier one is not gone back to."""
    order = ["exemplars", "things", "looks", "telling apart", "together", "telling pairs apart", "edits"]
    order += ["telling apart after edits", "confirmation"]
    mended = ["mending", "telling apart after mending", "confirmation after mending"]

    def place(experiment: str) -> int:
        stem = experiment.removesuffix(", one by one").removesuffix(", plainly").rstrip(" 0123456789:")
        if stem in mended:
            attempt = int(experiment.removeprefix(stem).split()[0].rstrip(":,"))
            return len(order) + len(mended) * attempt + mended.index(stem)
        return order.index(stem) if stem in order else -1

    return any(place(done) > place(name) for done in evidence.notebook.done)


def _weak(evidence: Evidence) -> bool:
    """Says whether the best rule leaves most of the exemplars' response, or of the variance, unexplained."""
    return max(map(evidence.strength, evidence.best.rule)) < WEAK


def _rng(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng([seed % 2**32, *name.encode()])


def standing(evidence: Evidence) -> list[str]:
    """Returns the present hypotheses with their standing."""
    notebook = evidence.notebook
    if not notebook.trials:
        aspects = {"thing": 3, "colour": 1, "background": 1, "pattern": 1}
        return [
            f"{label((Concept(aspect, name),))} (suggested by the exemplars, not tested)"
            for aspect, most in aspects.items()
            for name in designs.strongest(evidence.support, aspect, most)
        ] or ["none yet; a broad survey comes first"]
    best = evidence.best
    lines = []
    images = len(evidence.data.trials)
    for fit in _distinct(evidence, most=4, within=40.0):
        verdict = (
            "leading" if fit.rule == best.rule else "not excluded" if fit.score > best.score - 5 else "less likely"
        )
        lines.append(f"{short(fit.rule)} ({verdict}; explains {max(fit.r2, 0):.0%} of the variance of {images} images)")
    return lines or ["nothing that was tried predicts the activation"]


def _distinct(evidence: Evidence, most: int, within: float) -> list[Fit]:
    """Returns the best rule and those near it for people to read: none twice, none with a term that adds nothing.

    Such rules fit almost as well as the rule without the term, so that they would fill the list.
    """
    best, knowledge = evidence.best.rule, evidence.notebook.knowledge
    fits = alternatives(evidence, most=10_000, within=within)
    named: dict[str, Fit] = {}
    for fit in fits:
        if fit.rule and (fit.rule == best or not redundant(fit.rule, knowledge)):
            named.setdefault(short(tuple(sorted(fit.rule, key=label))), fit)
    # Whether each term of the best rule is needed is always worth a line.
    shorter = [fit for fit in named.values() if len(fit.rule) < len(best)]
    return [fit for fit in named.values() if fit not in shorter][:most] + shorter
