"""What an evaluation finds, and the folder that it lies in."""

from __future__ import annotations

import json
import platform
import re
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, Field, JsonValue, model_validator

from maia_core.plugin import Data, Registry, Usage, UsageError, as_file, content_id, redacted, validated
from maia_eval.files import write
from maia_eval.integrity import Integrity
from maia_runs import check_signature, sign

MANIFEST = "eval.json"
MAX_BYTES = 64 << 20

D = TypeVar("D", bound=BaseModel)

LARGEST = 1e30
"""No number in an evaluation is larger: one from elsewhere must not stop its report."""
SMALLEST = 1e-30
"""No unit that is active has a lower level: activations are divided by it."""

Kind = Literal["predictive", "synthetic", "bias"]


def _within(place: str) -> str:
    """Refuses a path that leads out of the evaluation: it becomes a link of the page."""
    if place.startswith("/") or ".." in place.split("/"):
        raise ValueError("it leads out of the evaluation")
    return place


class Explained(Data):
    """What one explainer said of one unit.

    Attributes:
        explainer: Its name in this evaluation.
        unit: The unit's reference.
        labels: Empty where it said nothing.
        strengths: Share of the exemplars' activation of each label; empty where it stated none.
        description: The explanation in sentences.
        error: Why there is no explanation; empty where there is one.
        verified: What verification in the loop found; None where there was none.
        run: The run's folder, relative to the evaluation's; empty where there is none.
        conduct: Faults in the run's record; None where there is no run.
        seconds: Wall time.
        usage: Tokens and cost.
        details: What else the explainer reports.
    """

    explainer: str
    unit: str
    labels: tuple[str, ...] = ()
    strengths: tuple[float, ...] = ()
    description: str = ""
    error: str = ""
    verified: bool | None = None
    run: Annotated[str, AfterValidator(_within)] = ""
    conduct: Integrity | None = None
    seconds: float = 0.0
    usage: Usage = Usage()
    details: dict[str, JsonValue] = Field(default_factory=dict)


class Fit(Data):
    """How well a label predicts a unit on some images.

    Attributes:
        images: How many were predicted and measured.
        active: How many of them activate the unit beyond the 95th percentile of its data set.
        pearson: Correlation of predicted and measured activation.
        auprc: Average precision of the prediction for which images are active.
        auc: CoSy's: images of the label against controls.
        mad: CoSy's, likewise.
    """

    images: int
    active: int
    pearson: float | None = None
    auprc: float | None = None
    auc: float | None = None
    mad: float | None = None


class Scores(Data):
    """How one explainer's label does on one unit.

    Attributes:
        label: The labels as one.
        own: Prompts written for it that gave images.
        dropped: Prompts written for it that the generator failed on.
        positives: Prompts of the pool that were chosen as likeliest to activate the unit.
        neutrals: Those chosen as least likely.
        plus: Mean activation on the positives.
        minus: Mean activation on the neutrals.
        generated: Predictions on the images of the pool and of the prompts from the unit's exemplars; controls are the
            neutral prompts' images.
        real: Predictions on held-out images of the data set; controls are all of these.
        drives_high: Whether the median activation on images of the label's own prompts is above the 95th percentile of
            the data set; None where no such image could be generated.
        drives_low: Whether that on images of prompts that show nothing of the label is below the 5th percentile.
    """

    label: str
    own: int
    dropped: int
    positives: tuple[str, ...]
    neutrals: tuple[str, ...]
    plus: float
    minus: float
    generated: Fit
    real: Fit | None = None
    drives_high: bool | None = None
    drives_low: bool | None = None


class UnitResult(Data):
    """One unit of a predictive evaluation.

    Attributes:
        unit: The unit's reference.
        model: Its model.
        layer: Its layer.
        level: The 95th percentile of its activation over the data set: what activations are divided by.
        highest: The highest activation over the data set.
        state: `never active` where nothing in the data set activates it, `rarely active` where the 95th percentile is
            not above 0: such units have no normalised figures.
        pool: Prompts that all labels chose from.
        references: Prompts from the unit's exemplars, which count for Pearson and average precision only.
        dropped: Prompts that the generator failed on, and why; left out for all explainers.
        scores: By explainer.
        made: Images generated.
        reused: Images that had been generated for this evaluation before.
        seconds: Time of making, measuring and judging.
        seed: What prompts, images and selections derive from.
        fingerprints: Of the parts that made the figures.
        error: Why there are no scores.
    """

    unit: str
    model: str
    layer: str
    level: float
    highest: float
    state: Literal["active", "rarely active", "never active"]
    pool: int = 0
    references: int = 0
    dropped: dict[str, str] = Field(default_factory=dict)
    scores: dict[str, Scores] = Field(default_factory=dict)
    made: int = 0
    reused: int = 0
    seconds: float = 0.0
    seed: int = 0
    fingerprints: dict[str, str] = Field(default_factory=dict)
    error: str = ""

    @model_validator(mode="after")
    def _can_be_divided_by(self) -> UnitResult:
        if self.state == "active" and self.level < SMALLEST:
            raise ValueError("an active unit has a level above 0")
        return self


class Preference(Data):
    """Which of two explainers' labels agrees better with the truth."""

    a: str
    b: str
    better: Literal["a", "b", "same"]


class NeuronResult(Data):
    """One synthetic neuron: its truth, and how the labels do."""

    unit: str
    kind: str
    truth: str
    verdicts: dict[str, Literal["right", "near", "wrong", "no answer"]]
    preferences: tuple[Preference, ...] = ()
    seed: int = 0
    fingerprints: dict[str, str] = Field(default_factory=dict)


class Named(BaseModel):
    """A part of the run."""

    name: str = ""


class Explainer(BaseModel):
    """An explainer of the evaluation."""

    alias: str


class Parts(BaseModel):
    """What of the run's configuration is shown."""

    seed: int = Field(0, ge=0)
    judge: Named = Named()
    similarity: Named = Named()
    dataset: Named = Named()
    describer: Named = Named()
    backbone: Named = Named()


class Settings(BaseModel):
    """What reports use of the settings of an evaluation, which hold more."""

    units: list[str] = Field(default_factory=list, max_length=100_000)
    explainers: list[Explainer] = Field(default_factory=list, max_length=1000)
    config: Parts = Parts()
    prompts: int = 0
    same_engine: bool = Field(False, alias="same engine")


class Manifest(Data):
    """What an evaluation is made from."""

    format: Literal[1] = 1
    kind: Kind
    created: float = Field(ge=0, lt=1e11)
    """Seconds since the epoch."""
    settings: dict[str, JsonValue]
    versions: list[dict[str, str]] = Field(min_length=1)
    """Of Python and every plugin's distribution; another entry for each change while the evaluation went on."""
    seal: str = ""
    """Says that `settings` were written on this machine, see `maia_runs.signature`."""


class Folder:
    """The folder of an evaluation: everything in it is written whole or not at all, once.

    Attributes:
        path: The folder.
        manifest: What the evaluation is made from.
        settings: What reports use of its settings.
    """

    def __init__(self, path: Path) -> None:
        """Opens an evaluation that exists.

        Raises:
            UsageError: the folder holds none, or one that cannot be read.
        """
        self.path = path
        if not (path / MANIFEST).is_file():
            raise UsageError(f"there is no evaluation in {path}; start one: maia eval predictive --out {path}")
        self.manifest = _read(path / MANIFEST, Manifest)
        self.settings = _valid(path / MANIFEST, Settings, self.manifest.settings)

    @classmethod
    def begin(cls, path: Path, kind: Kind, settings: Mapping[str, Any], registry: Registry) -> Folder:
        """Begins an evaluation, or resumes one of the same settings; further units and explainers join those it has.

        An evaluation without any result yet (a unit was misspelt) starts again.

        Raises:
            UsageError: the folder holds an evaluation of other settings, or cannot be written.
        """
        now = versions(registry)
        wanted: dict[str, JsonValue] = redacted(json.loads(json.dumps(dict(settings))))
        if (path / MANIFEST).exists() and any(path.glob("*/**/*.json")):
            folder = cls(path)
            old = folder.manifest
            if old.kind != kind:
                raise UsageError(f"{path} holds a {old.kind} evaluation; choose another --out")
            changed = [*_redefined(old.settings, wanted), *_changed(old.settings, wanted)]
            wanted = _joined(old.settings, wanted)
            if changed:
                raise UsageError(
                    f"the evaluation in {path} was started with another {' and '.join(changed[:3])};"
                    " repeat its command to resume, or choose another --out"
                )
            if old.versions[-1] == now and old.settings == wanted:
                return folder
            seal = old.seal
            if old.settings != wanted:
                check_signature(old.settings, old.seal, path, False)
                seal = sign(wanted)
            known = old.versions if old.versions[-1] == now else [*old.versions, now]
            manifest = old.model_copy(update={"settings": wanted, "seal": seal, "versions": known})
        else:
            if not (path / MANIFEST).exists() and path.is_dir() and any(path.iterdir()):
                raise UsageError(f"{path} holds something that is not an evaluation; choose another --out")
            manifest = Manifest(kind=kind, created=time.time(), settings=wanted, versions=[now], seal=sign(wanted))
        write(path / MANIFEST, as_file(manifest))
        return cls(path)

    def scored(self, model: type[D]) -> list[D]:
        """Returns the results of the units that were scored so far, in order."""
        found = (self.read(model, "results", unit) for unit in self.units)
        return [each for each in found if each is not None]

    def read(self, model: type[D], *place: str) -> D | None:
        """Returns what was written at a place, or None.

        Raises:
            UsageError: the file is damaged; after its deletion the next run makes it again.
        """
        file = self._file(place)
        return _read(file, model) if file.is_file() else None

    def write(self, value: BaseModel, *place: str) -> None:
        """Writes a file; what is a secret of the environment is not in it.

        Raises:
            UsageError: the folder cannot be written.
        """
        write(self._file(place), as_file(value))

    def forget_failures(self) -> None:
        """Deletes what explainers failed on, and the scores of these units."""
        for (unit, name), each in self.explained().items():
            if each.error:
                for place in (("explanations", unit, name), ("prompts", unit), ("results", unit)):
                    self._file(place).unlink(missing_ok=True)

    def _file(self, place: tuple[str, ...]) -> Path:
        return self.path.joinpath(*map(slug, place[:-1]), f"{slug(place[-1])}.json")

    @property
    def units(self) -> list[str]:
        """The units, in order."""
        return list(dict.fromkeys(self.settings.units))

    @property
    def explainers(self) -> list[str]:
        """The explainers' names, in order."""
        return list(dict.fromkeys(each.alias for each in self.settings.explainers))

    @property
    def seed(self) -> int:
        """The run's seed."""
        return self.settings.config.seed

    def explained(self) -> dict[tuple[str, str], Explained]:
        """Returns what was explained so far, by unit and explainer."""
        pairs = [(unit, name) for unit in self.units for name in self.explainers]
        read = {pair: self.read(Explained, "explanations", *pair) for pair in pairs}
        return {pair: each for pair, each in read.items() if each is not None}


def slug(name: str) -> str:
    """Returns a file name for a name, with a hash if characters had to be replaced."""
    safe = re.sub(r"[^A-Za-z0-9.@]+", "-", name)[:80].strip(".-") or "x"
    return safe if safe == name else f"{safe}-{content_id(name.encode('utf-8', 'replace'))[:8]}"


def versions(registry: Registry) -> dict[str, str]:
    """Returns the versions of Python and of every plugin's distribution."""
    found = {"python": platform.python_version()}
    for name in sorted({plugin.distribution for plugin in registry.plugins}):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _read(file: Path, model: type[D]) -> D:
    try:
        if file.stat().st_size > MAX_BYTES:
            raise UsageError(f"{file} is too large for a result; delete it and repeat the command")
        data = json.loads(file.read_bytes(), parse_int=_integer, parse_float=_number, parse_constant=_number)
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        unread = isinstance(error, (json.JSONDecodeError, UnicodeDecodeError, RecursionError))
        raise _damaged(file, "it is not JSON" if unread else str(error)) from error
    return _valid(file, model, data)


def _valid(file: Path, model: type[D], data: object) -> D:
    if not isinstance(data, dict):
        raise _damaged(file, "it holds no table")
    try:
        return validated(model, data, "")
    except UsageError as error:
        raise _damaged(file, str(error).removeprefix(": ")) from error


def _damaged(file: Path, why: str) -> UsageError:
    mend = "" if file.name == MANIFEST else "; delete it and repeat the command"
    return UsageError(f"{file} is damaged: {why[:200]}{mend}")


def _number(text: str) -> float:
    if not abs(value := float(text)) < LARGEST:
        raise ValueError(f"it holds the number {text[:20]}")
    return value


def _integer(text: str) -> int:
    _number(text)
    return int(text)


GROWING = ("units", "explainers")
"""Settings that may grow while an evaluation goes on."""


def _joined(old: Mapping[str, JsonValue], new: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Returns new settings in which what an evaluation has comes first, and what is new follows."""
    joined = dict(new)
    for key in GROWING:
        before, after = old.get(key), new.get(key)
        if isinstance(before, list) and isinstance(after, list):
            known = [_alias(each) for each in before]
            joined[key] = [*before, *(each for each in after if _alias(each) not in known)]
    return joined


def _alias(entry: JsonValue) -> JsonValue:
    return entry.get("alias") if isinstance(entry, dict) else entry


def _redefined(old: Mapping[str, JsonValue], new: Mapping[str, JsonValue]) -> list[str]:
    """Names the explainers that have other options than before."""
    before, after = old.get("explainers"), new.get("explainers")
    if not isinstance(before, list) or not isinstance(after, list):
        return []
    known = {str(_alias(each)): each for each in before}
    return [f"explainer '{_alias(each)}'" for each in after if known.get(str(_alias(each)), each) != each]


def _changed(old: Mapping[str, JsonValue], new: Mapping[str, JsonValue], prefix: str = "") -> list[str]:
    """Returns the dotted keys in which two settings differ."""
    found = []
    for key in sorted({*old, *new} - ({*GROWING} if not prefix else set())):
        a, b = old.get(key), new.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            found += _changed(a, b, f"{prefix}{key}.")
        elif a != b:
            found.append(f"{prefix}{key}")
    return found
