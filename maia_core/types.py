"""The data that crosses the protocols, beside images."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

from pydantic import AfterValidator, Field, JsonValue, model_validator

from maia_core.image import Data, Image, Mask
from maia_core.text import recordable

Text = Annotated[str, AfterValidator(recordable)]
"""Text from elsewhere, made valid where it enters: one half of a character must not end a run."""


class SystemRef(NamedTuple):
    """Stands for the run's system where a program passes its `system` to a tool."""


class LayerInfo(Data):
    """One layer of a model: its name and how many units it has."""

    name: str
    units: int
    shape: tuple[int, ...] = ()
    """Shape of one image's output: (units, height, width), or (units,) where there is no spatial map."""
    kind: str = ""


class UnitStatistics(Data):
    """How a unit's activation is distributed over a data set's images.

    Attributes:
        dataset: Name of the data set.
        count: Images measured.
        skipped: Images that could not be read.
        mean: Mean activation (spatial maximum per image) over the images.
        std: Standard deviation of the activation.
        quantiles: Activation at each quantile in `QUANTILES`.
        threshold: The quantile of the unit's activation map (all positions of all images) above which a mask keeps
            the image; None where a unit has no map.
        threshold_quantile: Which quantile `threshold` is.
    """

    dataset: str
    count: int
    skipped: int = 0
    mean: float
    std: float
    quantiles: tuple[float, ...]
    threshold: float | None = None
    threshold_quantile: float | None = None


QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)
"""The quantiles of the activation that `UnitStatistics.quantiles` holds, in this order."""


class UnitInfo(Data):
    """What a unit is called: `model` and, where they apply, its `layer` and `unit` in it."""

    model: str
    layer: str = ""
    unit: str = ""
    has_map: bool = True
    """False for a unit without a spatial map (a class probability): it masks nothing."""
    note: str = ""
    """Anything a reader of activations must know, such as "a probability between 0 and 1"."""

    @property
    def ref(self) -> str:
        """`model:layer:unit`, the spelling that the command line takes."""
        return ":".join(part for part in (self.model, self.layer, self.unit) if part)


class Exemplar(NamedTuple):
    """One of a data set's highest-activating images, masked where the unit is active."""

    activation: float
    image: Image


class GeneratedImages(NamedTuple):
    """Images in the order they were asked for, and for each what the reader must know (empty: nothing)."""

    images: list[Image]
    warnings: list[str]


class Detection(NamedTuple):
    """Where a detector found a text in an image: box (left, top, right, bottom) in pixels, score in [0, 1], mask."""

    box: tuple[float, float, float, float]
    score: float
    mask: Mask


class TextPart(Data):
    """A piece of text in a message."""

    type: Literal["text"] = "text"
    text: Text


class ImagePart(Data):
    """An image in a message."""

    type: Literal["image"] = "image"
    image: Image


Part = Annotated[TextPart | ImagePart, Field(discriminator="type")]


class Message(Data):
    """One provider-neutral message of the conversation with a backbone."""

    role: Literal["system", "user", "assistant"]
    parts: tuple[Part, ...]

    @classmethod
    def of(cls, role: Literal["system", "user", "assistant"], *items: str | Image | Part) -> Message:
        """Makes a message from texts and images."""
        return cls(role=role, parts=tuple(map(as_part, items)))

    @property
    def text(self) -> str:
        """All text of the message; images stand as `[image: title]`."""
        return "\n".join(p.text if isinstance(p, TextPart) else f"[image: {p.image.title}]" for p in self.parts)

    @property
    def images(self) -> list[Image]:
        """The images of the message, in order."""
        return [p.image for p in self.parts if isinstance(p, ImagePart)]


def as_part(item: str | Image | TextPart | ImagePart) -> TextPart | ImagePart:
    """Wraps a text or an image as a part of a message."""
    if isinstance(item, str):
        return TextPart(text=item)
    return ImagePart(image=item) if isinstance(item, Image) else item


class Usage(Data):
    """What one call used, or several added up.

    Attributes:
        input_tokens: Tokens read, cached ones among them.
        output_tokens: Tokens written, reasoning among them.
        cached_tokens: Those of the input that the provider had cached.
        cost: US dollars, of what has a known price.
        unpriced_tokens: Tokens whose price is not known: `cost` leaves them out.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost: float = 0.0
    unpriced_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(**{name: getattr(self, name) + getattr(other, name) for name in Usage.model_fields})

    def __sub__(self, other: Usage) -> Usage:
        return Usage(**{name: getattr(self, name) - getattr(other, name) for name in Usage.model_fields})

    @property
    def tokens(self) -> int:
        """Input and output tokens together."""
        return self.input_tokens + self.output_tokens

    @property
    def price(self) -> str:
        """The cost in words: what is not known is never shown as nothing."""
        if not self.unpriced_tokens:
            return f"${self.cost:,.2f}"
        return f"over ${self.cost:,.2f}" if self.cost else "unknown"


class CallLimits(Data):
    """What one call of a backbone may use."""

    max_output_tokens: int = 4096
    seconds: float = 120.0
    seed: int = 0


class BackboneInfo(Data):
    """What a backbone is and can do."""

    name: str
    model: str = ""
    images: bool = True
    """False: it sees text only; images reach it as descriptions."""
    max_images: int | None = None
    """Most images that `complete` takes in one call, tiled ones counted one by one; None: no limit known."""
    context_tokens: int | None = None
    """The model's window, input and output together; None: not known."""
    image_tokens: int = 800
    """About how many tokens one image takes; an estimate until the backbone has reported what it counts."""
    system_role: bool = True
    timed: bool = True
    """False: the time of its replies is not counted, as a person's."""


class ModelOption(Data):
    """One line of `maia backbones`: a model that a backbone could be, known without asking it anything.

    Attributes:
        model: What `-o backbone.model=` takes; empty where the backbone is one thing.
        key: The environment variable of its key; empty where it needs none.
        ready: True if the key is set, and whatever else it needs is there.
        info: What it can do.
        input_price: US dollars for a million input tokens; None where that is not known, 0 for local ones.
        output_price: Likewise for output tokens.
        note: What else a person who chooses must know, such as how to install what is missing.
    """

    model: str = ""
    key: str = ""
    ready: bool = True
    info: BackboneInfo
    input_price: float | None = None
    output_price: float | None = None
    note: str = ""


class Reply(Data):
    """A backbone's answer to one call.

    Attributes:
        text: What it wrote.
        stop: Why it ended.
        model: The model that wrote it.
        usage: What it used.
        reasoning: What it thought before, where the service tells.
        waited: Seconds of the call that were spent waiting for a service that refused calls: they do not count as time
            of the run.
    """

    text: Text
    stop: Literal["end", "length", "refusal"] = "end"
    model: Text = ""
    usage: Usage = Usage()
    reasoning: Text = ""
    waited: float = 0.0


class ExecutionLimits(Data, use_attribute_docstrings=True):
    """What one experiment may use. Every limit has a default and a name in the record."""

    seconds: float = Field(60.0, gt=0, allow_inf_nan=False)
    """Wall time of the program in seconds, not counting the time of host calls."""
    memory_mb: int = Field(1024, gt=0)
    """Address space of the child process in MB, beyond the space that it starts with."""
    output_chars: int = Field(1_000_000, gt=0)
    """Characters that the program prints."""
    host_calls: int = Field(5_000, gt=0)
    """Calls of the system and of tools."""
    live_images: int = Field(2_000, gt=0)
    """Images that the program holds at a time."""
    passed_images: int = Field(20_000, gt=0)
    """Images that a program passes to tools, each as often as it is passed."""
    made_mb: int = Field(256, gt=0)
    """Pixels in MB that a program makes itself and passes to tools."""
    image_side: int = Field(4_096, gt=0)
    """Longest side in pixels of an image that the program makes."""
    frame_mb: int = Field(16, gt=0)
    """Size in MB of one message between the program and MAIA."""
    depth: int = Field(50, gt=0)
    """Nesting of the values that the program passes and returns."""


class Execution(Data):
    """What came of one program.

    Attributes:
        stdout: What the program printed, in order.
        displays: Texts and images that its tools showed, in order, then the images in the value that it returned.
        value: The text of what `run_experiment` returned; empty for None.
        error: The program's traceback in its own line numbers, or why it was stopped; empty if it ended well.
        seconds: Wall time, host calls included.
        host_calls: How many calls of `system` and `tools` it made.
        variables_lost: True if the worker had to be replaced, so that names of earlier experiments are gone.
    """

    stdout: str = ""
    displays: tuple[Part, ...] = ()
    value: str = ""
    error: str = ""
    seconds: float = 0.0
    host_calls: int = 0
    variables_lost: bool = False


class Logged(Data):
    """One measured condition that a program logged."""

    title: str
    activation: float
    image: Image
    notes: str = ""


class Evidence(Data):
    """One measured condition that an explanation rests on."""

    condition: str
    activations: tuple[float, ...]
    expected: Literal["high", "low", ""] = ""


class Explanation(Data):
    """What a unit responds to, as an explainer states it.

    Attributes:
        description: Specific and complete, one or more sentences.
        labels: One short label for each distinct concept.
        strengths: How strongly each label drives the unit, as a share of the exemplars' activation; empty where the
            explainer states none.
        sentence: One sentence for people that unites the labels; empty where there is none.
        evidence: Measured conditions that the explanation rests on.
        details: What else the explainer reports.
    """

    description: str
    labels: tuple[str, ...]
    strengths: tuple[Annotated[float, Field(gt=0, le=1)], ...] = ()
    sentence: str = ""
    evidence: tuple[Evidence, ...] = ()
    details: dict[str, JsonValue] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_strength_per_label(self) -> Explanation:
        if self.strengths and len(self.strengths) != len(self.labels):
            raise ValueError(f"{len(self.strengths)} strengths for {len(self.labels)} labels; give one per label")
        return self

    @property
    def line(self) -> str:
        """The labels in one line, those below full strength with it: "tiger OR snow (40%)"."""
        named = zip(self.labels, self.strengths or (1.0,) * len(self.labels), strict=True)
        return " OR ".join(label if share >= 1 else f"{label} ({share:.0%})" for label, share in named)


class Probe(Data):
    """One image that a claim was verified on.

    Attributes:
        condition: What it was made or chosen for, such as "positive" or "control".
        text: The prompt or instruction that it was made from; empty for an image of the data set.
        activation: What the unit gave.
        image: The image, masked to where the unit is active.
        missed: True for an image that contradicts the claim and that the backbone may see.
        contradicts: The claim of the check that failed because of this image, among others.
    """

    condition: str
    text: str = ""
    activation: float
    image: Image
    missed: bool = False
    contradicts: str = ""


class Check(Data):
    """One thing that a claim predicts, tested on inputs that nobody had seen.

    Attributes:
        claim: What was tested, in words: "'tiger' activates the unit more than other things do".
        passed: Whether it held.
        effect: The effect size, named by `measure`.
        low: Lower end of its confidence interval.
        high: Upper end.
        measure: What `effect` is: "AUC" (the chance that a positive exceeds a control), "share" of images.
        required: What `effect` had to reach.
        undecided: True where the interval does not say whether `effect` reaches it; such a check has not failed.
    """

    claim: str
    passed: bool
    effect: float
    low: float
    high: float
    measure: str
    required: float
    undecided: bool = False

    @property
    def failed(self) -> bool:
        """Whether the check says that the claim is wrong."""
        return not (self.passed or self.undecided)


class Prediction(Data):
    """How well labels predict the activation of images that no experiment used.

    Attributes:
        on: Which images: `generated` or `real`.
        images: How many conditions were predicted: prompts, or real images.
        pearson: Correlation of predicted and measured activation, and the ends of its 95 % interval.
        average_precision: Likewise, of predicting which images activate the unit; None where all or none do.
        ceiling: The correlation that a perfect prediction of each prompt would reach; None without replicates.
        trivial: The best correlation of a trivial label such as "animals".
        trivial_label: That label.
        points: Predicted and measured activation of each condition.
    """

    on: str
    images: int
    pearson: tuple[float, float, float]
    average_precision: tuple[float, float, float] | None = None
    ceiling: float | None = None
    trivial: float = 0.0
    trivial_label: str = ""
    points: tuple[tuple[float, float], ...] = ()


class Verdict(Data):
    """What fresh inputs say about an explanation.

    Attributes:
        passed: True if the answer counts: it predicts better than trivial labels and every check held, or the verifier
            drops the claims of those that failed.
        partly: True if it predicts better than trivial labels, and a check failed.
        predictions: How well the explanation predicts, the first one decides.
        checks: What was tested.
        notes: How the labels were understood.
        summary: The outcome in one or more sentences, for the report and for the backbone.
        probes: The images that were measured.
        measured: False where nothing could be tested; `summary` says why, and `passed` is False.
        details: What else the verifier has measured, by name.
    """

    passed: bool
    partly: bool = False
    predictions: tuple[Prediction, ...] = ()
    checks: tuple[Check, ...] = ()
    notes: tuple[str, ...] = ()
    summary: str
    probes: tuple[Probe, ...] = ()
    measured: bool = True
    details: dict[str, JsonValue] = Field(default_factory=dict)

    @property
    def rank(self) -> tuple[bool, bool, float, float]:
        """Orders verdicts: verified, partly verified, the share of checks that did not fail, the prediction."""
        share = sum(not check.failed for check in self.checks) / max(1, len(self.checks))
        return self.passed, self.partly, share, max((p.pearson[0] for p in self.predictions[:1]), default=0.0)

    @property
    def line(self) -> str:
        """The verdict in one line; the part before the first colon says it in short."""
        failed = [check.claim for check in self.checks if check.failed]
        if not self.measured or (self.passed and failed):
            return self.summary.partition("\n")[0]
        state = "verified" if self.passed else "partly verified" if self.partly else "not verified"
        fit = "".join(f", r = {p.pearson[0]:.2f} on {p.on} images" for p in self.predictions[:1])
        counts = f"{len(failed)} of {len(self.checks)} checks failed, {sum(c.undecided for c in self.checks)} undecided"
        return f"{state}{fit}: {counts}" + f": not so that {'; '.join(failed)}" * bool(failed)


class Turn(Data):
    """One reply of the backbone and the result of it.

    Attributes:
        number: From 1.
        reply: The reply.
        program: The program that was run; empty if there was none.
        hypotheses: The hypotheses that the reply lists.
        execution: The result of the program.
        mistake: What is wrong with the reply; empty for a well-formed one.
        note: What MAIA ignored of the reply; empty if it ignored nothing.
        verdict: The result of the answer's test; None where no answer was tested.
    """

    number: int
    reply: Reply
    program: str = ""
    hypotheses: tuple[str, ...] = ()
    execution: Execution | None = None
    mistake: str = ""
    note: str = ""
    verdict: Verdict | None = None
