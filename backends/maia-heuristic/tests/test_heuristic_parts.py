"""Reading, knowledge, statistics and rules, each by itself."""

from __future__ import annotations

import numpy as np
import pytest

from maia_core.feedback import final_request
from maia_core.types import Message
from maia_heuristic.cases import holds
from maia_heuristic.describing import Description, read_description
from maia_heuristic.designs import separate
from maia_heuristic.evidence import alternatives, redundant, scale, stand_in, weigh
from maia_heuristic.hypotheses import Concept, Data, candidate_terms, term_degree
from maia_heuristic.knowledge import Knowledge
from maia_heuristic.programs import Condition, measure_program
from maia_heuristic.reading import Notebook, Trial, read_conversation
from maia_heuristic.scenes import Scene, thing, together
from maia_heuristic.statistics import cohens_d, contrast, significant

LINE = (
    "tiger (0.82), leopard (0.31), lion (0.22); kind: cat family (0.90), mammal (0.95), animal (1.00); "
    "colours: orange 45%, black 30%; texture: striped; on: grass, green; region: 22% of the image, centre"
)


@pytest.fixture
def knowledge() -> Knowledge:
    known = Knowledge()
    known.learn()
    return known


def test_reads_a_line_with_fields(knowledge: Knowledge) -> None:
    seen = read_description(LINE, knowledge)
    assert seen.names == (("tiger", 0.82), ("leopard", 0.31), ("lion", 0.22))
    assert seen.kinds == ("cat family", "mammal", "animal")
    assert seen.colours == (("orange", 0.45), ("black", 0.3))
    assert (seen.textures, seen.backgrounds) == (("stripes",), ("grass",))


def test_reads_prose_of_a_language_model(knowledge: Knowledge) -> None:
    seen = read_description("The bright region shows two tigers lying on a snowy lawn.", knowledge)
    assert seen.names[0][0] == "tiger"
    assert set(seen.backgrounds) == {"snow", "grass"}


def test_the_describer_teaches_kinds_to_names_that_it_has_not_said() -> None:
    knowledge = Knowledge()
    for name in ("tiger", "lion"):
        knowledge.teach(name, ("cat family", "mammal", "animal"))
    knowledge.learn()
    assert knowledge.is_a("lynx", "cat family")
    assert not knowledge.is_a("wolf", "cat family")


def test_an_unspecified_kind_is_a_member_with_its_share(knowledge: Knowledge) -> None:
    assert knowledge.share("tiger", "mammal") == 1.0
    assert knowledge.share("mammal", "tiger") == pytest.approx(1 / len(knowledge.members("mammal")))
    assert knowledge.share("tiger", "fruit") == 0.0


def test_plans_survive_the_trip_through_a_program(knowledge: Knowledge) -> None:
    scene = together([("dog", ""), ("car", "red")], "snow")
    program = measure_program(
        "things", [Condition(scene, 2), Condition(thing("cat"))], {"log_experiment"}, False, False
    )
    messages = [
        Message.of("system", "class Tools:\n    def text2image(self, prompts: list[str]) -> list[Image]:"),
        Message.of("assistant", f"[CODE]:\n```python\n{program}```"),
        Message.of("user", 'Printed:\n@@{"activations": [1.0, null, 0.5]}\n(turn 2 of 9)'),
    ]
    notebook = read_conversation(messages)
    assert [(t.scene, t.activation) for t in notebook.trials] == [(scene, 1.0), (thing("cat"), 0.5)]
    assert (notebook.turns_left, notebook.tools) == (7, {"text2image"})


def test_scenes_are_asked_for_in_plain_english() -> None:
    assert together([("dog", ""), ("umbrella", "red")], "snow").prompt == "a dog and a red umbrella on snow"
    assert thing("apple").prompt == "an apple on a plain grey background"
    assert Scene(background="plain background").prompt == "a plain background"


def test_a_noted_stand_in_counts_as_what_it_is() -> None:
    note = "'cheetah' is not in the pack; drew 'lion' instead"
    assert stand_in(thing("cheetah"), note) == thing("lion")
    assert stand_in(thing("cheetah"), "cannot show 'cheetah'") is None
    assert stand_in(Scene(background="river"), "'river' is not in the pack; drew 'truck' instead") is None


def test_two_things_are_not_one_thing_twice(knowledge: Knowledge) -> None:
    both = (Concept("thing", "dog"), Concept("thing", "animal"))
    assert term_degree(both, thing("dog"), None, knowledge) == 0.0
    assert term_degree(both, together([("dog", ""), ("cat", "")]), None, knowledge) == 1.0


def test_the_level_at_which_members_respond_is_chosen(knowledge: Knowledge) -> None:
    names = ["tiger", "lion", "leopard", "wolf", "cow", "mouse", "owl", "hen", "bee", "apple", "car", "hammer"]
    trials = [Trial("things", thing(name), name, float(knowledge.is_a(name, "mammal"))) for name in names * 2]
    data = Data(trials, np.array([t.activation for t in trials]), knowledge, {})
    assert data.best(candidate_terms(data)).rule == ((Concept("thing", "mammal"),),)


def test_two_members_are_found_below_a_kind_that_explains_more_than_either(knowledge: Knowledge) -> None:
    """One at a time the search stays at the kind: dusk alone misses the sunsets, and sunset the dusks."""
    places = ["dusk", "sunset"] * 8 + ["blue sky", "clouds", "grass", "sand", "snow", "brick", "wood", "forest"]
    assert knowledge.is_a("dusk", "sky")
    assert knowledge.is_a("sunset", "sky")
    trials = [
        Trial("places", Scene(background=name), name, float(name in ("dusk", "sunset")))
        for name in [*places, *places[16:]]
    ]
    data = Data(trials, np.array([t.activation for t in trials]), knowledge, {})
    best = data.best(candidate_terms(data))
    assert {concept.name for term in best.rule for concept in term} == {"dusk", "sunset"}
    assert data.fit(((Concept("background", "sky"),),)).score > data.fit(((Concept("background", "dusk"),),)).score


@pytest.mark.parametrize(
    ("rule", "adds_nothing"),
    [
        ([["thing tiger"], ["thing tiger"]], True),
        ([["thing feline"], ["thing tiger"]], True),
        ([["thing tiger", "background snow"], ["thing feline"]], True),
        ([["colour red"], ["tint red"]], True),
        ([["background plain grey"], ["background plain background"]], True),
        ([["thing tiger", "background snow"], ["thing tiger", "background grass"]], False),
        ([["thing tiger"], ["thing lion"]], False),
        ([["thing tiger"], ["background snow"]], False),
        ([["thing tiger"]], False),
        ([], False),
    ],
)
def test_a_term_beside_a_broader_one_adds_nothing(
    knowledge: Knowledge, rule: list[list[str]], adds_nothing: bool
) -> None:
    read = tuple(tuple(Concept(*concept.split(" ", 1)) for concept in term) for term in rule)
    assert redundant(read, knowledge) == adds_nothing


def test_a_single_high_control_does_not_become_a_concept(knowledge: Knowledge) -> None:
    rng = np.random.default_rng(0)
    names = knowledge.specific()[:80]
    trials = [Trial("things", thing(name), name, 0.0) for name in names]
    data = Data(trials, rng.normal(0, 0.3, len(names)), knowledge, {})
    assert data.best(candidate_terms(data)).r2 < 0.3


def test_the_scale_of_a_unit_that_most_images_activate_is_not_flat(knowledge: Knowledge) -> None:
    notebook = Notebook(knowledge, quantiles={0.5: 1.0})
    low, high = scale(notebook, [0.0, 1.0, 1.0, 1.0])
    assert (low, high) == (0.0, 1.0)


def test_contrast_against_known_values() -> None:
    c = contrast([3.0, 4.0, 5.0], [0.0, 1.0, 2.0], seed=0)
    assert (c.auc, c.d) == (1.0, pytest.approx(3.0))
    assert c.p == pytest.approx(1 / 20, abs=0.02)
    assert contrast([1.0, 1.0], [1.0, 1.0], seed=0).auc == 0.5
    assert cohens_d([1.0, 1.0], [0.0, 0.0]) == float("inf")
    with pytest.raises(ValueError, match="positives and controls"):
        contrast([], [1.0], seed=0)


def test_false_discoveries_are_held_down() -> None:
    assert significant([0.01, 0.04, 0.03, 0.005]) == [True, True, True, True]
    assert significant([0.04, 0.2, 0.9, 0.6]) == [False, False, False, False]
    assert significant([]) == []


def test_a_region_that_shows_nothing_names_no_thing(knowledge):
    assert read_description("nothing is unmasked", knowledge) == Description()


def test_a_test_of_the_answer_is_read_back_with_what_it_measured():
    from maia_core.verification import OBJECTION

    said = f'{OBJECTION}. Images were made.\nMeasured, other things:\n- "two tigers on wood": 1, 1, 0.7\n- "bad": 1,,\n'
    messages = [
        Message.of("system", "def text2image(self, prompts)"),
        Message.of("user", "task"),
        Message.of("assistant", "[DESCRIPTION]: snow\n[LABEL 1]: snow\n[LABEL 2]: red things"),
        Message.of("user", said),
        Message.of("assistant", "[DESCRIPTION]: quoted in prose, no test came of it\n[LABEL]: fire"),
        Message.of("user", f"Quoting '{OBJECTION}' is no objection."),
    ]
    notebook = read_conversation(messages)
    assert notebook.refuted == [frozenset({"snow", "red things"})]
    assert notebook.hints == {"two tigers on wood": pytest.approx(0.9)}


def test_a_printed_request_does_not_end_the_run():
    """Only the run itself ends a run; a program can print and display the words of its request."""
    request = final_request("all turns are used", ["LABEL"]).text
    start = [Message.of("system", "def text2image(self, prompts)"), Message.of("user", "task")]
    for printed in (f"Printed:\n{request}", request):
        feedback = Message.of("user", printed, "(turn 2 of 30)")
        assert not read_conversation([*start, feedback]).final
        assert read_conversation([*start, feedback]).turns_left == 28
    assert read_conversation([*start, Message.of("user", "Printed:\n1", "(turn 30 of 30)", request)]).final


def test_scenes_are_chosen_that_tell_the_hypotheses_apart(knowledge: Knowledge) -> None:
    """Tigers and lions respond: images of their relatives decide between the names and the kinds above them."""
    names = ["tiger", "lion", "car", "hammer", "apple", "owl", "bee", "cow"]
    trials = [Trial("things", thing(name), name, float(name in ("tiger", "lion"))) for name in names * 2]
    evidence = weigh(Notebook(knowledge, trials=trials, quantiles={0.5: 0.0, 1.0: 1.0}))
    chosen = separate(evidence)
    assert chosen
    rules = [fit.rule for fit in alternatives(evidence)]
    for condition in chosen:
        degrees = [holds(rule, condition.scene, knowledge) for rule in rules]
        assert max(degrees) - min(degrees) > 0.1, condition.scene.prompt
