"""The final answer: what the confirmation experiment says about the best rule, in numbers."""

from __future__ import annotations

import numpy as np

from maia_heuristic.evidence import BORDER, Evidence, concept_support
from maia_heuristic.hypotheses import Concept, Fit, Rule, Term, term_degree
from maia_heuristic.reading import Trial
from maia_heuristic.statistics import Contrast, contrast, significant
from maia_heuristic.wording import effect, label, phrase, sentence

HOLDS = 0.4
"""A term is kept if its mean response in the confirmation is this share of the strongest term's."""

PARTIAL = 0.5
"""Below this share of the variance the answer says that it is partial."""

DOUBLE = 0.7
"""Of two terms the weaker is left out if it shares this part of its positives with the other."""


def conclude(evidence: Evidence, seed: int) -> tuple[str, str]:
    """Returns a paragraph for people, and the sections of the answer."""
    rule = evidence.best.rule
    if not evidence.notebook.trials:
        return _from_exemplars(evidence)
    if not rule:
        return _nothing(evidence)
    attempt = len(evidence.notebook.refuted)
    confirmed = evidence.notebook.of(f"confirmation after mending {attempt}" if attempt else "confirmation")
    trials = confirmed or list(evidence.data.trials)
    fresh = bool(confirmed)
    usable = [trial for trial in trials if trial.prompt not in evidence.notebook.notes] or trials
    rule = tuple(oriented(term, usable, evidence) for term in rule)
    contrasts = _contrasts(rule, usable, evidence, seed)
    if not contrasts:
        return _nothing(evidence)
    contrasts = without_doubles(contrasts, evidence)
    tops = max(c.mean - c.control_mean for c in contrasts.values())
    kept = {term: c for term, c in contrasts.items() if c.mean - c.control_mean >= HOLDS * tops} or contrasts
    passed = significant([c.p for c in kept.values()])
    strength = (max(c.mean for c in kept.values()) - evidence.base) / (evidence.top - evidence.base)

    shares = {term: _share(c, evidence) for term, c in kept.items()}
    parts = [f"{phrase(term)}: {effect(c)}" for term, c in kept.items()]
    basis = "fresh images made from the claim" if fresh else "all images measured"
    lines = [sentence({label(term): share for term, share in shares.items()})]
    lines.append("Measured on " + basis + ": " + "; OR ".join(parts) + ".")
    if strength < 0.5:
        share = max(strength, 0.0)
        lines.append(f"These images reach only {share:.0%} of an exemplar's activation: part of the cause is missing.")
    if not all(passed) or any(c.low < 0.5 for c in kept.values()):
        lines.append("The evidence is weak: take this as a best guess, not as a finding.")
    lines += _edit_effects(evidence)
    explained = max(evidence.best.r2, 0.0)
    lines.append(f"Over all {len(evidence.data.trials)} images the rule explains {explained:.0%} of the variance.")
    if explained < PARTIAL:
        lines.append("That is a part of what drives the unit; the rest is none of the concepts that I tested.")
    labels = [f"{label(term)} ({share:.0%})" for term, share in shares.items()]
    return "The experiments agree as far as they can; I conclude.", _sections(" ".join(lines), labels)


def _share(c: Contrast, evidence: Evidence) -> float:
    """Returns how strongly a term drives the unit, as a share of an exemplar's activation, in steps of 5 %."""
    share = (c.mean - evidence.base) / (evidence.top - evidence.base)
    return min(max(round(20 * share) / 20, 0.05), 1.0)


def oriented(term: Term, trials: list[Trial], evidence: Evidence) -> Term:
    """Orders a pair as (what the unit's region covers, what must be there too).

    The active regions of positives decide: a background holds their border, a thing or colour is what they show. Where
    they were not looked at the exemplars' regions do.
    """
    if len(term) != 2:
        return term
    knowledge = evidence.notebook.knowledge
    positives = [t for t in trials if t.region and term_degree(term, t.scene, t, knowledge) > 0.6]
    views = [(t.region, t.border) for t in positives if t.region]
    votes = concept_support(views, knowledge) if views else evidence.support
    if any(c.aspect == "background" for c in term) and views:
        on_background = sum(border for _, border in views) / len(views) >= BORDER
        first = 0 if (term[0].aspect == "background") == on_background else 1
    else:
        weight = [votes.get(c, 0.0) - (0.0 if views else evidence.around.get(c, 0.0)) for c in term]
        first = int(weight[1] > weight[0])
    return (term[first], term[1 - first])


def without_doubles(contrasts: dict[Term, Contrast], evidence: Evidence) -> dict[Term, Contrast]:
    """Leaves out a term that holds where another holds anyway, such as two words for one kind."""
    weight = {term: sum(evidence.support.get(c, 0.0) for c in term) for term in contrasts}
    kept: list[Term] = []
    for term in sorted(contrasts, key=lambda term: (len(term), -weight[term], term)):
        degree = evidence.data.degree(term)
        shared = [float(np.minimum(degree, evidence.data.degree(other)).sum()) for other in kept]
        if not any(s > DOUBLE * float(degree.sum()) for s in shared):
            kept.append(term)
    return {term: contrast for term, contrast in contrasts.items() if term in kept}


def _contrasts(rule: Rule, trials: list[Trial], evidence: Evidence, seed: int) -> dict[Term, Contrast]:
    knowledge = evidence.notebook.knowledge
    degrees = {term: [term_degree(term, t.scene, t, knowledge) for t in trials] for term in rule}
    controls = [t.activation for n, t in enumerate(trials) if all(d[n] < 0.05 for d in degrees.values())]
    found = {}
    for term, degree in degrees.items():
        positives = [t.activation for t, d in zip(trials, degree, strict=True) if d > 0.9]
        if positives and controls:
            found[term] = contrast(positives, controls, seed)
    return found


def _edit_effects(evidence: Evidence) -> list[str]:
    """Sums up what single changes did: the mean change of the response by what was changed."""
    changes: dict[str, list[float]] = {}
    for trial in evidence.notebook.of("edits"):
        if trial.before is None or not evidence.notebook.notes.keys().isdisjoint((trial.prompt, trial.original)):
            continue
        # "replace the ...", "change the colour of ... to ...", "change the background to ..."
        kind = "object" if trial.prompt.startswith("replace") else trial.prompt.split()[2]
        after, before = evidence.respond([trial.activation, trial.before])
        changes.setdefault(kind, []).append(float(after - before))
    if not changes:
        return []
    parts = [f"another {kind} {sum(c) / len(c):+.0%} (n = {len(c)})" for kind, c in sorted(changes.items())]
    return ["Changing one factor changed the response, in units of an exemplar's, by: " + ", ".join(parts) + "."]


def _from_exemplars(evidence: Evidence) -> tuple[str, str]:
    exemplars = evidence.notebook.exemplars
    seen = [(concept, weight) for concept, weight in evidence.support.items() if concept.aspect != "colour"]
    enough = [(c, w) for c, w in seen if exemplars and w >= 0.6 * len(exemplars)]
    # Of the concepts that most exemplars share the most specific one says most: it has the least support.
    ranked = sorted(enough or seen, key=lambda item: (item[1] if enough else -item[1], item[0]))
    if not ranked:
        text = "No experiment could be made and no exemplar described: I do not know what drives the unit."
        return "There is nothing to conclude from.", _sections(text, ["unknown"])
    concept, weight = ranked[0]
    text = (
        f"A guess from the exemplars alone, with no experiment: {weight:.1f} of {len(exemplars)} show "
        f"{label((concept,))}. What they have in common need not be the cause."
    )
    return "No images can be made here, so the exemplars alone must do.", _sections(text, [label((concept,))])


def _nothing(evidence: Evidence) -> tuple[str, str]:
    activations = {trial.activation for trial in evidence.data.trials}
    activations |= {exemplar.activation for exemplar in evidence.notebook.exemplars}
    if len(activations) == 1:
        text = (
            f"The activation was {activations.pop():.4g} on each of the {len(evidence.data.trials)} images that I "
            "tried, exemplars and pictures of many things alike: nothing in them drives the unit."
        )
        return "Nothing that I tried moves this unit; I say so.", _sections(text, ["unknown"])
    fits: list[Fit] = sorted((evidence.data.fit((term,)) for term in evidence.terms), key=lambda fit: -fit.score)
    named = most_suggested(evidence)
    guess = fits[0].rule[0] if fits and fits[0].r2 > 0 else named
    if guess is None:
        text = "No hypothesis predicts the activation of the unit, and nothing stands out."
        return "Nothing that I tried predicts this unit.", _sections(text, ["unknown"])
    r2 = max(0.0, evidence.data.fit((guess,)).r2)
    text = (
        f"No hypothesis predicts this unit: none of the {len(evidence.terms)} concepts and pairs that I tested on "
        f"{len(evidence.data.trials)} images separates high from low activations. The best guess is {phrase(guess)}, "
        f"which explains {r2:.0%} of the variance."
    )
    return "Nothing that I tried predicts this unit; I say so.", _sections(text, [label(guess)])


def most_suggested(evidence: Evidence) -> Term | None:
    """Returns the concept that the exemplars suggest most, as a term."""
    things: list[tuple[float, Concept]] = [(-w, c) for c, w in evidence.support.items()]
    return (min(things)[1],) if things else None


def _sections(description: str, labels: list[str]) -> str:
    if len(labels) == 1:
        return f"[DESCRIPTION]: {description}\n[LABEL]: {labels[0]}"
    return f"[DESCRIPTION]: {description}\n" + "\n".join(f"[LABEL {n}]: {text}" for n, text in enumerate(labels, 1))
