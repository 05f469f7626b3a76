"""The whole plugin API on one page: what each kind of plugin promises.

A plugin that is chosen by name is an entry point, in the group that the table `maia_core.kinds.KINDS` gives its kind.
The value is a factory, called as `factory(config, context)`:

* `config` is an instance of the factory's nested `Config` (a `maia_core.config.PluginConfig`); without one the plugin
  has no options;
* `context` is a `RunContext`: the other parts of the run, its cache folder, its seed. Runs in several threads share the
  models, the data set and the engines: there `context` stands for the run that asks. What a part does in threads of its
  own it runs in a copy of the caller's context (`contextvars.copy_context().run`), so that it counts for that run.

A class whose `__init__` takes these two is such a factory. Protocols are synchronous; what is expensive takes batches.
Every installed plugin that wants to be *told* what happens is an observer: see `maia_core.hookspecs`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, JsonValue

from maia_core.config import RunConfig
from maia_core.image import Image
from maia_core.image_store import ImageStore
from maia_core.registry import Registry
from maia_core.types import (
    BackboneInfo,
    CallLimits,
    Detection,
    Execution,
    Exemplar,
    Explanation,
    GeneratedImages,
    ImagePart,
    LayerInfo,
    Logged,
    Message,
    ModelOption,
    Reply,
    TextPart,
    Turn,
    UnitInfo,
    UnitStatistics,
    Usage,
    Verdict,
)

# --- what is explained ---


@runtime_checkable
class System(Protocol):
    """One unit, as the backbone sees it. Usually made by a `Model`; a synthetic neuron is one by itself.

    A system that is more than a unit, such as a whole layer, names the methods that programs may call in an attribute
    `methods` and says what it is in its docstring; both are rendered into the prompt. One with a true attribute
    `is_property` is read without a call.

    Attributes:
        info: Model, layer and unit.
    """

    info: UnitInfo

    def neuron(self, images: Sequence[Image]) -> tuple[list[float], list[Image]]:
        """Measures the unit on a batch of images.

        Returns:
            The activation of each image (spatial maximum of the unit's map, finite floats), and each image masked to
            where the unit is active (same size, `clean` is the input image). A unit without a map masks nothing: it
            returns the images as they are and says so in `info`. The result of one image does not depend on the rest
            of the batch. An image that is masked already is measured on its clean pixels.
        """


def system_methods(system: System) -> tuple[str, ...]:
    """Names what programs may call of a system."""
    return getattr(system, "methods", ("neuron",))


@runtime_checkable
class Model(Protocol):
    """What several units share: one copy of the weights, safe to call from several threads.

    Attributes:
        name: Name of the model, the first part of a unit's reference.
        fingerprint: Changes whenever weights, architecture or preprocessing do.
    """

    name: str
    fingerprint: str

    def layers(self) -> list[LayerInfo]:
        """Returns the layers that have units, in the order of computation."""

    def activations(self, images: Sequence[Image], layer: str) -> NDArray[np.float32]:
        """Measures all units of a layer at once: float32 of shape (images, units), the spatial maximum of each map.

        Raises:
            UsageError: there is no such layer; the message lists the nearest ones.
        """

    def unit(self, ref: str) -> System:
        """Returns the system for `layer:unit` (such as `blocks.10:122` or `prob:tiger`).

        Raises:
            UsageError: there is no such layer or unit; the message lists what exists, nearest first.
        """

    def close(self) -> None:
        """Frees the weights."""


@runtime_checkable
class ExemplarSource(Protocol):
    """Finds a unit's exemplars: brute force, a built index, or a synthetic neuron's own."""

    def exemplars(self, system: System, k: int) -> tuple[list[Exemplar], UnitStatistics]:
        """Finds the `k` highest-activating images of a data set.

        Returns:
            The images, masked, highest first (ties by the image's place in the data set), and the statistics of the
            unit over the whole data set.

        Raises:
            UsageError: the data set is empty or holds no readable image.
        """


@runtime_checkable
class HasExemplars(Protocol):
    """A system that knows a faster way to its exemplars than measuring every image one unit at a time."""

    def exemplar_source(self, dataset: Dataset) -> ExemplarSource:
        """Returns the source that serves this system on `dataset`."""


# --- engines, which stand behind tools: swapping one never changes the prompt ---
#
# maia-cache puts a cache before every generator, editor and describer. An engine may have optional attributes that say
# how: `cached = False` (its results are cheaper to compute than to read), `cache_name` (its name in `maia cache`),
# `cache_step` (most items per call: the results of earlier calls outlive a failure), `cache_key(method, *arguments)`
# (returns a key instead of the hash of fingerprint and arguments), and of a describer `refusal` (a text that is not
# cached). An engine that fails for some items adds the results of the others to its error: see `with_results`.
#
# maia-sweep joins the calls that several sessions of a process make at the same time into one of at most `cache_step`
# items, and never runs an engine in two threads at once. `batched = False` lets the sessions call it as they come: for
# an engine that waits for a service, or works on each item by itself, and is safe to call from several threads. A model
# with a method `join_passes(most)` may share one pass of at most so many images among the sessions.
#
# A generator or editor sets `Image.shows` where it knows what an image really shows, but never for images of a data
# set. A generator sets `missing` in an image's provenance to the things of the prompt that the image lacks. One that
# can show some things only lists them in a method `vocabulary(kind)`, which raises `ToolError` for an unknown kind;
# programs then have `tools.vocabulary`.


@runtime_checkable
class Dataset(Protocol):
    """An ordered, sized source of real images with stable ids, readable from several threads.

    A data set may have an attribute `pictures`: what its images are called where they are not real photographs, such
    as "collages".

    Attributes:
        name: Name for the record and the report.
        fingerprint: Changes whenever the images or their order do.
        ids: A stable, unique id per image, in order.
    """

    name: str
    fingerprint: str
    ids: Sequence[str]

    def __len__(self) -> int:
        """Returns the number of images."""

    def __getitem__(self, index: int) -> Image:
        """Returns one image, without title, its id in its provenance.

        Raises:
            UnreadableImage: the file is not an image or is broken; callers count it and go on.
            IndexError: `index` is not in `range(len(self))`.
        """


@runtime_checkable
class LabelledDataset(Dataset, Protocol):
    """A data set that names what its images show. Labels serve describers and evaluation, never a program."""

    def concepts(self, index: int) -> Sequence[str]:
        """Names what the image shows, the most specific first, then broader ones (tiger, cat, mammal)."""


@runtime_checkable
class ImageGenerator(Protocol):
    """Makes images from prompts.

    Attributes:
        fingerprint: Changes whenever the same prompt and seed would give other pixels.
    """

    fingerprint: str

    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> GeneratedImages:
        """Makes one image per prompt: same prompt and seed, same pixels, in whatever batch."""


@runtime_checkable
class ImageEditor(Protocol):
    """Changes images as instructed ("replace the dog with a cat") and leaves the rest as it is.

    Attributes:
        fingerprint: Changes whenever the same image, instruction and seed would give other pixels.
    """

    fingerprint: str

    def edit(self, images: Sequence[Image], instructions: Sequence[str], seeds: Sequence[int]) -> GeneratedImages:
        """Returns one edited image for each image, instruction and seed; masks are ignored, clean pixels are edited."""


@runtime_checkable
class Describer(Protocol):
    """Says what images show, from pixels and masks alone: it is handed `Image.anonymous()` copies.

    Attributes:
        fingerprint: Changes whenever the same image would be described otherwise.
    """

    fingerprint: str

    def describe(self, images: Sequence[Image]) -> list[str]:
        """Describes what the unmasked region of each image shows."""

    def summarize(self, images: Sequence[Image]) -> str:
        """Says what the unmasked regions of all images have in common."""


@runtime_checkable
class Detector(Protocol):
    """Finds things named by a text in images: what synthetic neurons are made of.

    Attributes:
        fingerprint: Changes whenever the same image and text would give other detections.
    """

    fingerprint: str

    def detect(self, images: Sequence[Image], text: str) -> list[list[Detection]]:
        """Returns for each image what was found, the highest score first; scores are in [0, 1]."""


@runtime_checkable
class ImageTextSimilarity(Protocol):
    """Scores how well texts fit images: CLIP, SigLIP, or the concept scores of a library of named things.

    Attributes:
        fingerprint: Changes whenever the same image and text would get another score.
    """

    fingerprint: str

    def similarity(self, images: Sequence[Image], texts: Sequence[str]) -> NDArray[np.float32]:
        """Scores every text on every image.

        An image that has a mask is looked at where it is bright. Images are handed over as `Image.anonymous()` copies.

        Returns:
            float32 of shape (images, texts), higher is a better fit. Scores of one text compare over images; the score
            of an image and a text does not depend on the rest of the call.
        """


# --- the agent's parts ---

Tool = Callable[..., Any]
"""A typed callable with a docstring; the backbone sees it as `tools.<name>`.

Its factory gets the run's context, so that a tool reaches the system, the engines and `context.show`. Arguments and
results are made of None, bool, int, float, str, list, tuple, dict with str keys, and `Image`. It raises `ToolError` for
arguments that the backbone can mend. A tool with a true attribute `is_property` is read without a call; one with a true
attribute `is_free` uses nothing of the run's budget, and can be called when that is used up. An attribute `uses` names
the engines that the tool needs, such as `("generator",)`; MAIA builds all of them for a tool without it. A tool with a
false attribute `is_offered` is left out of the run: there is nothing for it to do.
"""


@runtime_checkable
class Backbone(Protocol):
    """The model (or person) that designs the experiments.

    A true attribute `is_service` of its factory says that another machine or process computes the replies: the runs of
    a sweep then take turns in threads of one process, with one copy of the weights.

    Attributes:
        info: What it is and can do.
    """

    info: BackboneInfo

    def complete(self, messages: Sequence[Message], limits: CallLimits) -> Reply:
        """Answers a conversation: a system message first, then user and assistant messages in turn.

        Raises:
            BackboneBusy: a passing failure; the loop waits and asks again, so a backbone does not retry by itself.
            ContextTooLong: the conversation does not fit the model's window; the loop sends a shorter one.
            BackboneError: no usable reply, and the same call would not get one later.
        """


@runtime_checkable
class ListsModels(Protocol):
    """The factory of a backbone that can be several models, or needs a key: what `maia backbones` shows of it."""

    def models(self) -> list[ModelOption]:
        """Lists what the backbone could be, without a network access; a static method of the factory."""


@runtime_checkable
class Task(Protocol):
    """A question about a system: the user prompt, and the answer's form.

    Attributes:
        answer: Pydantic model of the answer.
        tags: The sections of a reply that make an answer, such as `("DESCRIPTION", "LABEL")`. A tag stands for its
            numbered forms too (`LABEL 1`, `LABEL 2`).

    A true attribute `verifiable` says that the answer claims what activates the unit: then a `Verifier` tests it. The
    factory's attribute `defaults` names the parts that a run of the task has where nobody chooses others, by their keys
    in a `RunConfig`: `{"verifier": PluginRef(name="matched-pairs")}`.

    A task may have `hide(message)`, which returns a message as the backbone may see it: every message but the
    backbone's own passes through it before it is recorded and sent.

    A task may have `merged(outcomes, context)`, which makes one `Explanation` of the outcomes of several runs. Without
    it, MAIA counts their labels.
    """

    answer: type[BaseModel]
    tags: tuple[str, ...]

    def prompt(self, info: UnitInfo) -> str:
        """Returns the user prompt. It must not give away the unit's place in a benchmark or any ground truth."""

    def parse(self, sections: Mapping[str, list[str]]) -> BaseModel:
        """Makes the answer from the sections of a reply (tag to its texts, in order).

        Raises:
            ReplyError: something is missing; the message, shown to the backbone, says what.
        """

    def explanation(self, answer: BaseModel) -> Explanation:
        """Returns the answer in the form that reports and evaluations compare."""


@runtime_checkable
class Explainer(Protocol):
    """Explains units. The agent is one, every baseline is another, so they are compared on equal terms."""

    def explain(self, unit: System, context: RunContext) -> Explanation:
        """Explains one unit with what the context offers."""


@runtime_checkable
class Judge(Protocol):
    """What evaluation and verification ask of a language model or an embedding.

    A judge may have `write_neutral(label, n)`, which writes `n` different prompts of images that do not show a label.
    Without it, MAIA takes prompts of anything that `select` ranks low.

    A judge may have `same(a, b)`, which tells whether two labels say the same. Without it, MAIA compares their words.
    """

    def write_prompts(self, label: str, n: int) -> list[str]:
        """Writes `n` different prompts of images that show what `label` says."""

    def select(self, label: str, prompts: Sequence[str]) -> list[int]:
        """Ranks `prompts` (by index) from most to least likely to activate a unit that `label` describes."""

    def compare(self, truth: str, a: str, b: str) -> int:
        """Returns 0 if label `a` agrees better with `truth`, 1 if `b` does."""

    def predict(self, label: str, images: Sequence[Image]) -> list[float]:
        """Predicts how much a unit that `label` describes responds to each image, in [0, 1]."""


@runtime_checkable
class Verifier(Protocol):
    """Tests an explanation on inputs made from its claim alone; it sees no experiment and no conversation."""

    def verify(self, explanation: Explanation, context: RunContext, attempt: int) -> Verdict:
        """Tests `explanation` on the run's system.

        Args:
            explanation: The claim; its labels are tested.
            context: The run's parts.
            attempt: Which answer of the run this is, from 1: its inputs differ from those of the one before.
        """


# --- where things run ---


@runtime_checkable
class Host(Protocol):
    """What a sandbox lets a program reach: `maia_core.host.ToolHost` in a run, a fake in tests.

    Attributes:
        methods: Every name that may be called, such as `system.neuron` and `tools.text2image`.
        properties: Those of them that are read without a call, such as `tools.results`.
        number: Which program of the run runs, from 1: its seed and clock derive from it, so that a resumed run repeats.
            0: the sandbox counts.

    A host may have `hidden`, the names of methods that programs may use and that no listing of a sandbox mentions.
    """

    methods: frozenset[str]
    properties: frozenset[str]
    number: int

    def call(self, method: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Carries out one call with validated values (see `Tool`) and returns such a value.

        Raises:
            MendableError: shown to the program as an exception with this text.
            MaiaError: ends the experiment and the run.
        """


@runtime_checkable
class Sandbox(Protocol):
    """Runs programs that nobody trusts; module-level names persist from one program to the next.

    A sandbox in which programs have neither numpy nor PIL has an attribute `has_numpy = False`, and the prompt says so.
    """

    def run(self, program: str, host: Host) -> Execution:
        """Runs `program`, then its `run_experiment(system, tools)`; `host` is called in the caller's thread.

        Whatever the program does ends up in the `Execution`; a worker that had to be killed is replaced.

        Raises:
            MaiaError: `host` failed in a way that no program can mend.
            SandboxError: the sandbox itself does not work.
        """

    def close(self) -> None:
        """Ends the worker. Closing twice is allowed."""


@runtime_checkable
class Runner(Protocol):
    """Maps many units onto workers: this process, or an existing distributed engine."""

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterable[tuple[Any, Any]]:
        """Applies a function to every item and yields each item with its result as it comes, in any order.

        One item does not end the others. A result is what the function returned, or the Exception that it raised; an
        item whose worker was lost is retried once in another worker, and its result is a RunError if that is lost too.

        Args:
            function: Can be pickled. A worker gets it once and keeps it, with all that it loads for its first item. It
                is interrupted by SIGINT, as in this process. Where it has an attribute `folder` (a Path that it writes
                into) or `run_config` (a RunConfig whose plugins it uses), a runner of several machines checks that all
                workers see the folder and have the plugins.
            items: What it is applied to; can be pickled, as the results can. Taken as workers become free.
        """


# --- what a plugin may ask of the run that it is built for ---


class RunContext(Protocol):
    """The parts of one run, each built on first use and then shared, and what tools do for the backbone.

    Attributes:
        config: The run's configuration.
        seed: The run's random seed.
        cache: Folder for data that can be computed again; a plugin uses a subfolder of its own name.
    """

    config: RunConfig
    seed: int
    cache: Path

    @property
    def facts(self) -> MutableMapping[str, JsonValue]:
        """What tools have found out about the unit, by name: a tool writes a fact, other tools and the report read it.

        Facts are part of the record, so a resumed run has them again. A name begins with the name of the distribution
        that writes the fact and a dot: `maia-standard.exemplar_floor`.
        """

    @property
    def system(self) -> System:
        """The unit that is explained."""

    @property
    def dataset(self) -> Dataset:
        """The data set that exemplars come from."""

    @property
    def generator(self) -> ImageGenerator:
        """The image generator."""

    @property
    def editor(self) -> ImageEditor:
        """The image editor."""

    @property
    def describer(self) -> Describer:
        """The describer; hand it `Image.anonymous()` copies only."""

    @property
    def registry(self) -> Registry:
        """The plugins of the installed distributions."""

    @property
    def images(self) -> ImageStore | None:
        """The pixels of the run's record; None for a run that is not recorded."""

    @property
    def spent(self) -> Usage:
        """Tokens and money that engines used so far, such as a describer behind a paid service."""

    def fingerprints(self) -> dict[str, str]:
        """Returns the fingerprints of the parts built so far, by kind (and name, if it is not the run's only one)."""

    def part(self, kind: str) -> Any:
        """Returns the run's one part of a kind, built on first use.

        Raises:
            UsageError: the configuration chooses none.
            PluginError: the chosen plugin is missing or broken.
        """

    def tools(self) -> Mapping[str, Tool]:
        """Returns the tools that programs can call, by the names under which they do."""

    def build(self, kind: str, name: str, /, **options: Any) -> Any:
        """Returns a part beside the run's own, such as a model that a describer looks with; shared by equal options."""

    def model(self, name: str, **options: Any) -> Model:
        """Returns a model by name; `PLUGIN/MODEL` chooses one of the many that a plugin offers, as its option `model`.

        Raises:
            PluginError: there is no such plugin, or it is broken.
            UsageError: the plugin has no such model or option.
        """

    def seeds(self, prompts: Sequence[str]) -> list[int]:
        """Derives one seed per prompt from (run, prompt, occurrence in `prompts`): replicates differ, repeats agree.

        Returns:
            Integers in [0, 2**31).
        """

    def show(self, *items: str | Image | TextPart | ImagePart) -> None:
        """Shows texts and images to the backbone when the present program has ended."""

    def log(self, title: str, activation: float, image: Image, notes: str = "") -> None:
        """Logs one measured condition: the record, the report and `results` have it."""

    def keep(self, exemplars: Sequence[Exemplar]) -> None:
        """Keeps exemplars in the conversation when older images have to leave it; the most important come first."""

    @property
    def logged(self) -> Sequence[Logged]:
        """The conditions that were logged so far, oldest first."""

    def warn(self, line: str) -> None:
        """Adds a line that the record and the report should show: skipped files, a fallback."""

    def spend(self, usage: Usage) -> None:
        """Counts what an engine used, so that the run's budget of tokens and money holds for engines too."""

    def spend_images(self, count: int) -> None:
        """Counts images that a tool is about to generate or edit.

        Raises:
            ToolError: the run's budget does not hold that many.
        """


class RunSession(Protocol):
    """The run as an observer sees it; see `maia_core.hookspecs`."""

    @property
    def context(self) -> RunContext:
        """The parts of the run."""

    @property
    def folder(self) -> Path | None:
        """The run folder; None for a run that is not recorded."""

    @property
    def turns(self) -> Sequence[Turn]:
        """The turns so far."""

    @property
    def usage(self) -> Usage:
        """What the backbone and the engines have used."""

    def budget(self) -> dict[str, tuple[float, float]]:
        """Returns what the run has used and may use, by the name of the limit."""
