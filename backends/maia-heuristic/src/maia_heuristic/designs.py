"""Which images to make next: each function designs one experiment from the evidence."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from maia_heuristic.cases import compose, examples, holds, possible, sample_neighbours, variants
from maia_heuristic.evidence import Evidence, alternatives, concept_support
from maia_heuristic.hypotheses import PLAIN_KIND, Concept, Rule
from maia_heuristic.knowledge import Knowledge
from maia_heuristic.programs import Condition
from maia_heuristic.reading import Exemplar
from maia_heuristic.scenes import ANYTHING, PLAIN, Scene, thing, together, with_article

Random = np.random.Generator


def strongest(support: dict[Concept, float], aspect: str, most: int) -> list[str]:
    """Returns the names of one aspect with the most support, ties in alphabetical order."""
    names = [(name, weight) for (a, name), weight in support.items() if a == aspect]
    return [name for name, _ in sorted(names, key=lambda item: (-item[1], item[0]))[:most]]


def survey_things(evidence: Evidence, rng: Random) -> list[Condition]:
    """Everything the exemplars suggest, at every level, against a broad sample of other things, on plain grey."""
    knowledge = evidence.notebook.knowledge
    suggested = strongest(evidence.support, "thing", 40)
    inner = {kind for name in suggested for kind in knowledge.above(name)}
    kinds = [name for name in suggested if name in inner][:10]
    names = [name for name in suggested if name not in inner][:24]
    plan = [Condition(thing(name), 3 if place < 6 else 2 if place < 16 else 1) for place, name in enumerate(names)]
    plan += [Condition(thing(kind), 3) for kind in kinds]
    # What later carries colours and backgrounds is measured by itself first.
    carriers = [name for name in dict.fromkeys([*knowledge.neutral, *knowledge.paintable]) if name not in names]
    plan += [Condition(thing(name)) for name in carriers]
    plan += [Condition(thing(name)) for name in sample_widely(knowledge, 60, {*names, *carriers}, rng)]
    return plan


def sample_widely(knowledge: Knowledge, most: int, leave_out: set[str], rng: Random) -> list[str]:
    """Draws names from all over the dictionary: from every group in turn."""
    groups: dict[str, list[str]] = {}
    for name in knowledge.specific():
        if name not in leave_out:
            groups.setdefault((knowledge.above(name) or [""])[0], []).append(name)
    shuffled = [[names[i] for i in rng.permutation(len(names))] for _, names in sorted(groups.items())]
    rounds = max(map(len, shuffled), default=0)
    in_turn = [names[place] for place in range(rounds) for names in shuffled if place < len(names)]
    return in_turn[:most]


def survey_looks(evidence: Evidence, rng: Random) -> list[Condition]:
    """Colours on the same things, backgrounds behind the same things, plain colours and patterns by themselves."""
    knowledge = evidence.notebook.knowledge
    paintable = [name for name in knowledge.paintable if name not in evidence.missing]
    paintable = [paintable[i] for i in rng.permutation(len(paintable))[:3]]
    neutral = [name for name in knowledge.neutral if name not in evidence.missing] or list(knowledge.neutral)
    plan: list[Condition] = []
    for colour in knowledge.colours:
        behind = PLAIN if not PLAIN.endswith(colour) else "plain white"
        plan += [Condition(thing(name, colour, behind)) for name in paintable]
        plan += [Condition(thing(ANYTHING, colour, behind)), Condition(Scene(background=f"plain {colour}"))]
    seen = strongest(evidence.support, "background", 8) + strongest(evidence.around, "background", 8)
    inner = {kind for name in knowledge.backgrounds for kind in knowledge.above(name)}
    places = [name for name in dict.fromkeys([*seen, *sorted(knowledge.backgrounds - inner)]) if name != PLAIN_KIND]
    for place, name in enumerate(places):
        plan += [Condition(thing(neutral[place % len(neutral)], "", name)), Condition(Scene(background=name))]
    patterns = sorted({*knowledge.patterns, *strongest(evidence.support, "pattern", 3)})
    for place, name in enumerate(patterns):
        plan += [Condition(Scene(pattern=name), 2), Condition(thing(neutral[place % len(neutral)], "", name))]
    return plan


def recreate(evidence: Evidence) -> list[Condition]:
    """Rebuilds the exemplars from their parts, two at a time: for units that need two things together."""
    scenes: list[Scene] = []
    for exemplar in evidence.notebook.exemplars:
        names = [name for name, _ in exemplar.region.names[:2]]
        others = [name for name, _ in exemplar.rest.names[:3] if name not in names[:1]]
        places = [*exemplar.rest.backgrounds[:1], *exemplar.region.backgrounds[:1]]
        for name in names[:1]:
            scenes += [thing(name, "", place) for place in dict.fromkeys(places)]
            scenes += [together([(name, ""), (other, "")]) for other in others]
            scenes += [together([(name, ""), (other, "")], place) for other in others[:1] for place in places[:1]]
    for place in strongest(evidence.support, "background", 3):
        scenes += [thing(name, "", place) for name in strongest(evidence.around, "thing", 6)]
        scenes += [thing(ANYTHING, colour, place) for colour in strongest(evidence.around, "colour", 4)]
    for name in strongest(evidence.support, "thing", 4):
        scenes += [thing(name, "", place) for place in strongest(evidence.around, "background", 5)]
        scenes += [together([(name, ""), (o, "")]) for o in strongest(evidence.around, "thing", 8) if o != name]
        scenes += [together([(name, ""), (ANYTHING, c)]) for c in strongest(evidence.around, "colour", 3)]
    for colour in strongest(evidence.support, "colour", 3):
        scenes += [thing(ANYTHING, colour, place) for place in strongest(evidence.around, "background", 5)]
        scenes += [together([(ANYTHING, colour), (o, "")]) for o in strongest(evidence.around, "thing", 5)]
    return [Condition(scene) for scene in list(dict.fromkeys(scenes)) if possible(scene, evidence)][:160]


def mend(evidence: Evidence, rng: Random) -> list[Condition]:
    """What a refuted rule claims and was not looked at, and the exemplars that it does not account for."""
    knowledge, rule = evidence.notebook.knowledge, evidence.best.rule
    tried = {trial.scene for trial in evidence.data.trials}
    claimed: list[Scene] = []
    for term in rule:
        for spot, concept in enumerate(term):
            members = knowledge.members(concept.name) if concept.aspect in ("thing", "background") else [concept.name]
            cases = [Concept(concept.aspect, members[i]) for i in rng.permutation(len(members))[:16]]
            claimed += [compose((*term[:spot], case, *term[spot + 1 :])) for case in cases]
            if len(term) > 1:
                claimed += [compose((case,)) for case in cases[:6]]
    fresh = [scene for scene in dict.fromkeys(claimed) if scene not in tried and possible(scene, evidence)]
    missed = [exemplar for exemplar in evidence.notebook.exemplars if not _accounts_for(rule, exemplar, knowledge)]
    plan = [Condition(scene, 2) for scene in [*_hinted(evidence), *fresh[:32]]]
    if missed:
        plan += recreate(replace(evidence, notebook=replace(evidence.notebook, exemplars=missed)))[:96]
        seen = concept_support([(exemplar.region, exemplar.border) for exemplar in missed], knowledge)
        names = [name for name in strongest(seen, "thing", 16) if thing(name) not in tried]
        plan += [Condition(thing(name), 2) for name in names if possible(thing(name), evidence)]
    return list({condition.scene: condition for condition in plan}.values())


def _hinted(evidence: Evidence) -> list[Scene]:
    """What activated the unit when the answer was tested, and is none of what the answer says."""
    knowledge, half = evidence.notebook.knowledge, (evidence.base + evidence.top) / 2
    scenes = []
    for prompt, activation in evidence.notebook.hints.items():
        words = [knowledge.spelling(word) for word in re.findall(r"[a-z-]+", prompt.lower())]
        said = f" {' '.join(words)} "
        named = [name for name in [*knowledge.specific(), *sorted(knowledge.backgrounds)] if f" {name} " in said]
        for name in named if activation >= half else ():
            background = name in knowledge.backgrounds
            scene = Scene(background=name) if background else thing(name)
            if possible(scene, evidence) and holds(evidence.best.rule, scene, knowledge) < 0.5:
                scenes.append(scene)
    return list(dict.fromkeys(scenes))[:12]


def _accounts_for(rule: Rule, exemplar: Exemplar, knowledge: Knowledge) -> bool:
    """Says whether a rule holds for anything that an exemplar may show; its names are guesses."""
    names = [name for name, _ in exemplar.region.names[:3]]
    others = [name for name, _ in exemplar.rest.names[:3]]
    colours = [name for name, _ in exemplar.region.colours[:2]]
    places = [*exemplar.region.backgrounds[:1], *exemplar.rest.backgrounds[:1], ""]
    things = [(name, paint) for name in [*names, *others] for paint in ["", *colours]]
    return any(holds(rule, Scene(tuple(things), place), knowledge) > 0.5 for place in dict.fromkeys(places))


def separate(evidence: Evidence, most: int = 40) -> list[Condition]:
    """The scenes about which the hypotheses that are left disagree most."""
    rules = [fit.rule for fit in alternatives(evidence)]
    knowledge = evidence.notebook.knowledge
    pool = sorted((s for s in set(_pool(rules, evidence)) if possible(s, evidence)), key=lambda scene: scene.prompt)
    if not pool:
        return []
    degrees = np.array([[holds(rule, scene, knowledge) for scene in pool] for rule in rules])
    measured: dict[str, int] = {}
    for trial in evidence.data.trials:
        measured[trial.scene.prompt] = measured.get(trial.scene.prompt, 0) + 1
    worth = degrees.var(axis=0) / (1 + np.array([measured.get(scene.prompt, 0) for scene in pool]))
    chosen = [int(i) for i in np.argsort(-worth, kind="stable")[:most] if worth[i] > 0.015]
    return [Condition(pool[i], 2 if len(chosen) <= most // 2 else 1) for i in chosen]


def _pool(rules: Sequence[Rule], evidence: Evidence) -> Iterable[Scene]:
    """Scenes that could tell the rules apart: members, relatives and strangers of every concept in them."""
    knowledge = evidence.notebook.knowledge
    terms = sorted({term for rule in rules for term in rule})
    colours = sorted({c.name for term in terms for c in term if c.aspect in ("colour", "tint")})
    for term in terms:
        # An object that has the colour by nature is told from the colour by painting it.
        unlike = [colour for colour in knowledge.colours if colour not in colours][:2]
        for paint in [*colours, *unlike] if colours else ():
            scene = compose(term)
            for spot, (name, before) in enumerate(scene.things):
                if not before:
                    yield Scene((*scene.things[:spot], (name, paint), *scene.things[spot + 1 :]), scene.background)
        for spot, concept in enumerate(term):
            others = term[:spot] + term[spot + 1 :]
            for other in variants(concept, knowledge):
                yield compose((*others, other))
                if others:
                    yield compose((other,))
            if others:
                yield compose(others)


def edits(evidence: Evidence) -> list[Condition]:
    """Changes one factor at a time in scenes that activate the unit: an object, its colour, the background."""
    knowledge = evidence.notebook.knowledge
    plan: list[Condition] = []
    for term in evidence.best.rule[:2]:
        for case in examples(term, evidence, 3 if len(evidence.best.rule) == 1 else 2):
            scene = compose(case)
            if not scene.things:
                continue
            original = scene.prompt
            for spot, (name, paint) in enumerate(scene.things):
                called = f"{paint} {name}".strip()
                strangers = [n for n in knowledge.neutral if n not in evidence.missing]
                strangers = [n for n in strangers if not _alike(n, case, knowledge)]
                near = [n for n in sample_neighbours(name, knowledge) if n not in evidence.missing]
                for other in strangers[:1] + near[:1]:
                    things = (*scene.things[:spot], (other, ""), *scene.things[spot + 1 :])
                    say = f"replace the {called} with {with_article(other)}"
                    plan.append(Condition(Scene(things, scene.background), 2, say, original))
            name, paint = scene.things[0]
            for colour in [c for c in ("blue", "red", "green") if c != paint][:2]:
                things = ((name, colour), *scene.things[1:])
                say = f"change the colour of the {name} to {colour}"
                plan.append(Condition(Scene(things, scene.background), 2, say, original))
            for place in [p for p in ("grass", "sand", "snow") if p != scene.background][:2]:
                plan.append(Condition(Scene(scene.things, place), 2, f"change the background to {place}", original))
    return plan


def _alike(name: str, case: Iterable[Concept], knowledge: Knowledge) -> bool:
    return any(c.aspect == "thing" and knowledge.is_a(name, (knowledge.above(c.name) or [c.name])[-1]) for c in case)


PLACES = ("snow", "grass", "sand", "brick", "wood")
"""Backgrounds on which claims are confirmed; earlier experiments mostly used a plain one."""


def confirm(evidence: Evidence, rng: Random) -> list[Condition]:
    """Fresh images made from the claim alone: positives in new surroundings, near misses, strangers."""
    knowledge, rule = evidence.notebook.knowledge, evidence.best.rule
    plan: list[Condition] = []
    for term in rule:
        cases = examples(term, evidence, 4)
        for place, case in enumerate(cases):
            scene = compose(case)
            here = [scene]
            if scene.things and not any(c.aspect == "background" for c in case):
                here = [Scene(scene.things, PLACES[(place + k) % len(PLACES)]) for k in range(2)]
            plan += [Condition(s, max(1, 8 // (len(cases) * len(here)))) for s in here]
    near: list[Scene] = []
    for term in rule:
        for spot, concept in enumerate(term):
            others = [v for v in variants(concept, knowledge) if not holds(((concept,),), compose([v]), knowledge)]
            picked = [others[i] for i in rng.permutation(len(others))[:4]]
            near += [compose((*term[:spot], other, *term[spot + 1 :])) for other in picked]
    strangers = sample_widely(knowledge, 24, set(evidence.missing), rng)
    far = [thing(name, "", PLACES[i % len(PLACES)]) for i, name in enumerate(strangers)]
    controls = [s for s in dict.fromkeys([*near, *far]) if holds(rule, s, knowledge) < 0.05 and possible(s, evidence)]
    return plan + [Condition(scene) for scene in controls[:24]]
