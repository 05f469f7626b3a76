"""The texts of the programs: short, readable, and printing what `reading` reads back."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from maia_heuristic.reading import MARK
from maia_heuristic.scenes import Scene

MAX_DISPLAYED = 36
"""Most images that one experiment logs for people to look at."""


class Condition(NamedTuple):
    """One condition of an experiment.

    Attributes:
        scene: What the image (after editing) shows.
        times: Replicates.
        prompt: How the image is asked for; the scene's own words where it is empty.
        original: For an edit, the prompt of the image to start from; `prompt` is then the instruction.
    """

    scene: Scene
    times: int = 1
    prompt: str = ""
    original: str = ""

    def to_plain(self) -> dict[str, Any]:
        """Returns the condition as a dict of plain values for a program's `PLAN`."""
        plain: dict[str, Any] = {"scene": self.scene.to_plain(), "prompt": self.prompt or self.scene.prompt}
        if self.original:
            plain["original"] = self.original
        if self.scene.open:
            plain["look"] = True
        return plain | {"times": self.times}


_EXEMPLARS = """\
def run_experiment(system, tools):
    activations, images = tools.dataset_exemplars(system)
    result = {{"activations": activations, "cover": [], "border": []}}
    rest = []
    for image in images:
        shown, clean = np.asarray(image).astype(int), np.asarray(image.clean)
        active = (shown == clean).all(axis=2)
        result["cover"].append(float(active.mean()))
        edge = np.concatenate([active[0], active[-1], active[:, 0], active[:, -1]])
        result["border"].append(float(edge.mean()))
        # The picture without its active region: that region in the typical colour of the rest.
        picture = clean.copy()
        if 0 < active.mean() < 0.98:
            picture[active] = np.median(clean[~active], axis=0).astype(np.uint8)
        rest.append(picture)
{describe}\
    print("{mark}" + json.dumps(result))
    tools.log_experiment(activations, images, [image.title for image in images])
"""

_DESCRIBE = """\
    numbers = [f"#{n}" for n in range(len(images))]
    result["regions"] = tools.describe_images(images, numbers)
    result["rest"] = tools.describe_images(rest, numbers)
"""

_MEASURE = """\
def run_experiment(system, tools):
    prompts = [row["prompt"] for row in PLAN for _ in range(row["times"])]
    images = tools.text2image(prompts)
    activations, masked = system.neuron(images)
    result = {{"activations": activations, "border": [lit_border(*pair) for pair in zip(masked, images)]}}
{seen}\
    print("{mark}" + json.dumps(result))
{log}"""

_SEEN = """\
    # One image of each prompt that leaves something open, such as the colour of an animal, is looked at.
    open_ones = [prompts.index(row["prompt"]) for row in PLAN if row.get("look")]
    if open_ones:
        result["seen"] = tools.describe_images([images[n] for n in open_ones], [f"#{n}" for n in open_ones])
"""

_REGIONS = """\
    active = [n for n in range(len(images)) if activations[n] > np.median(activations)][:16]
    if active:
        result["regions"] = tools.describe_images([masked[n] for n in active], [f"#{n}" for n in active])
"""

_CAREFUL = """\
def run_experiment(system, tools):
    activations, titles, kept, measured = [], [], [], []
    for row in PLAN:
        for _ in range(row["times"]):
            try:
                image = tools.text2image([row["prompt"]])[0]
                activation, masked = system.neuron([image])
            except Exception as error:
                print("left out:", row["prompt"], error)
                activations.append(None)
                continue
            activations.append(activation[0])
            measured.append(activation[0])
            kept.append(masked[0])
            titles.append(row["prompt"])
    print("{mark}" + json.dumps({{"activations": activations}}))
    tools.log_experiment(measured[:{shown}], kept[:{shown}], titles[:{shown}])
"""

_EDIT = """\
def run_experiment(system, tools):
    originals = [row["original"] for row in PLAN for _ in range(row["times"])]
    instructions = [row["prompt"] for row in PLAN for _ in range(row["times"])]
    images, titles = tools.edit_images(originals, instructions)
    activations, masked = system.neuron(images)
    print("{mark}" + json.dumps({{"before": activations[::2], "activations": activations[1::2]}}))
    tools.log_experiment(activations[:{shown}], masked[:{shown}], titles[:{shown}])
"""

_LOG = """\
    # People look at the strongest images and at one of each other condition.
    order = sorted(range(len(images)), key=lambda n: -activations[n])[:{half}]
    firsts = [prompts.index(prompt) for prompt in dict.fromkeys(prompts)]
    order += [n for n in firsts if n not in order][:: max(1, len(firsts) // {half})]
    order = order[:{shown}]
    tools.log_experiment([activations[n] for n in order], [masked[n] for n in order], [prompts[n] for n in order])
"""

_BORDER = '''\
def lit_border(masked, image):
    """How much of the picture's border is active."""
    lit = (np.asarray(masked).astype(int) == np.asarray(image)).all(axis=2)
    return float(np.concatenate([lit[0], lit[-1], lit[:, 0], lit[:, -1]]).mean())


'''


def exemplars_program(name: str, tools: Collection[str]) -> str:
    """Returns the program that looks at the exemplars: their active regions, and what is around them."""
    describe = _DESCRIBE if "describe_images" in tools else ""
    if describe and "summarize_images" in tools:
        describe += '    result["summary"] = tools.summarize_images(images)\n'
    return _head(name, []) + _EXEMPLARS.format(describe=describe, mark=MARK)


def bare_exemplars_program(name: str) -> str:
    """Returns the program that only lists the exemplars, for when looking at them failed."""
    body = f'''\
def run_experiment(system, tools):
    activations, images = tools.dataset_exemplars(system)
    print("{MARK}" + json.dumps({{"activations": activations}}))
    tools.log_experiment(activations, images, [image.title for image in images])
'''
    return _head(name, []) + body


def measure_program(name: str, plan: Sequence[Condition], tools: Collection[str], describe: bool, regions: bool) -> str:
    """Returns the program that generates and measures conditions.

    Args:
        name: Of the experiment.
        plan: Its conditions.
        tools: Those on offer.
        describe: Whether to ask what the images show.
        regions: Whether to ask what the unit's active regions show, and how much of the border they cover.
    """
    borders = regions
    seen = ""
    if "describe_images" in tools:
        seen += _SEEN * describe + _REGIONS * regions
    body = _MEASURE.format(
        mark=MARK,
        seen=seen,
        log=_LOG.format(shown=MAX_DISPLAYED, half=MAX_DISPLAYED // 2) if "log_experiment" in tools else "",
    )
    if not borders:
        start = body.index(', "border"')
        body = body[:start] + body[body.index("}\n", start) :]
    return _head(name, plan) + (_BORDER if borders else "") + body


def careful_program(name: str, plan: Sequence[Condition]) -> str:
    """Returns the program that measures prompt by prompt and leaves out those that fail."""
    return _head(name, plan) + _CAREFUL.format(mark=MARK, shown=MAX_DISPLAYED)


def edit_program(name: str, plan: Sequence[Condition]) -> str:
    """Returns the program that edits generated images and measures both."""
    return _head(name, plan) + _EDIT.format(mark=MARK, shown=MAX_DISPLAYED)


def _head(name: str, plan: Sequence[Condition]) -> str:
    rows = "".join(f"    {condition.to_plain()!r},\n" for condition in plan)
    plan_text = f"PLAN = [\n{rows}]" if plan else "PLAN = []"
    return f"import json\n\nimport numpy as np\n\nEXPERIMENT = {name!r}\n{plan_text}\n\n\n"
