"""Two to six runs side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from maia_core.plugin import Image, MaiaError, one_line
from maia_report.answer import flat, strengths_of
from maia_report.conditions import Condition
from maia_report.evidence import Plot, Row
from maia_report.plot import Scale, drawable, scale, strip
from maia_report.summary import RunSummary
from maia_view.images import ServedGallery
from maia_view.library import RunFolder
from maia_view.links import Links
from maia_view.listing import natural
from maia_view.pages import View, view_of
from maia_view.rows import RunRow

MOST = 6
"""Most runs side by side."""

MAX_EXEMPLARS, MAX_CONDITIONS, MAX_TESTS, MAX_TURNS = 15, 14, 16, 30

SCALES = ("raw", "relative")
"""One axis for all runs: activations as they are, or in units of the run's mean exemplar."""


@dataclass(frozen=True)
class Compared:
    """One of the runs.

    Attributes:
        letter: Its name on the page: A, B, ...
        row: What the list shows of it.
        summary: What it did and measured.
        gallery: Its pictures.
        unit: Activation that counts as 1 on the axis.
    """

    letter: str
    row: RunRow
    summary: RunSummary
    gallery: ServedGallery
    unit: float

    def scaled(self, condition: Condition, title: str) -> Condition:
        """Returns a condition with its activations in units of the axis, named after this run."""
        values = tuple(activation / self.unit for activation in condition.activations)
        return Condition(title, (), exemplars=condition.exemplars, stated=values)


@dataclass(frozen=True)
class Lane:
    """One run's images in a strip: activation, image and text of each."""

    run: Compared
    images: Sequence[tuple[float, Image, str]]


@dataclass(frozen=True)
class Strip:
    """Images of several runs that stand for the same thing, side by side."""

    title: str
    lanes: Sequence[Lane]

    @property
    def width(self) -> int:
        """Number of images of the longest lane."""
        return max((len(lane.images) for lane in self.lanes), default=0)


def compare_page(view: View, keys: Iterable[str], query: Mapping[str, str]) -> str:
    """Returns the page of some runs side by side; with fewer than two, it says how to choose them."""
    asked = list(dict.fromkeys(keys))
    runs, problems = _opened(view, asked[:MOST], query.get("scale", ""))
    if left_out := asked[MOST:]:
        problems.append(f"This page compares at most {MOST} runs and leaves out {', '.join(left_out)}.")
    shown: dict[str, Any] = {
        "runs": runs,
        "problems": problems,
        "most": MOST,
        "scale": _scale_name(runs, query.get("scale", "")),
        "keys": [run.row.key for run in runs],
        "recent": [view.library.row(run) for run in view.library.runs()[:12]] if len(runs) < 2 else [],
    }
    if len(runs) > 1:
        axis, plots = _plots(runs)
        shown |= {
            "axis": axis,
            "plots": plots,
            "facts": _differences(runs),
            "strengths": {run.row.key: strengths_of(run.summary) for run in runs},
            "turns": _hypotheses(runs),
            "exemplars": _exemplars(runs),
            "tests": _tests(runs),
            "bars": {run.row.key: scale([a for a, _ in run.summary.exemplars]) for run in runs},
        }
    return view.page("compare.html.j2", "compare/", shown, query)


def _opened(view: View, keys: Sequence[str], chosen: str) -> tuple[list[Compared], list[str]]:
    found: list[tuple[RunFolder, RunSummary]] = []
    problems = []
    for key in keys:
        run = view.library.find(key)
        if run is None:
            problems.append(f"{key} is gone: it was moved or removed.")
            continue
        try:
            part = view.shelf.read(run)
            found.append((run, part.summary))
            if not part.is_whole:
                problems.append(f"{run.name} is long: this page shows turns 1 to {part.last} of {part.turns}.")
        except MaiaError as error:
            reason = "is gone: it was moved or removed" if run.is_gone else f"cannot be shown: {one_line(error)}"
            problems.append(f"{run.name} {reason}.")
    relative = _is_relative([summary for _, summary in found], chosen)
    links = Links("compare/", view.files)
    runs = [
        Compared(
            chr(65 + n),
            view.library.row(run),
            summary,
            ServedGallery(run.path, run.key, links),
            unit_of(summary) if relative else 1.0,
        )
        for n, (run, summary) in enumerate(found)
    ]
    return runs, problems


def _is_relative(summaries: Sequence[RunSummary], chosen: str) -> bool:
    """Returns whether each run has an axis of its own: activations of other units or models cannot be compared."""
    units = {summary.run.manifest.system.ref for summary in summaries}
    return chosen == "relative" if chosen in SCALES else len(units) > 1


def _scale_name(runs: Sequence[Compared], chosen: str) -> str:
    return "relative" if _is_relative([run.summary for run in runs], chosen) else "raw"


def unit_of(summary: RunSummary) -> float:
    """Returns the mean activation of the exemplars; 1 where it says nothing."""
    values = drawable(activation for activation, _ in summary.exemplars)
    mean = sum(values) / len(values) if values else 0.0
    return mean if mean > 0 else 1.0


def _plots(runs: Sequence[Compared]) -> tuple[Scale, list[tuple[str, Plot]]]:
    """Lays out the conditions on one axis: the exemplars, what several runs measured, then each run's highest."""
    by_title: dict[str, list[tuple[Compared, Condition]]] = {}
    for run in runs:
        for condition in run.summary.all_conditions:
            by_title.setdefault(condition.title, []).append((run, condition))
    shared = [title for title, found in by_title.items() if len(found) > 1]
    shared.sort(key=lambda title: (not by_title[title][0][1].exemplars, -_highest(by_title[title])))
    groups = [
        (title, [run.scaled(c, f"{run.letter}  {run.row.label or run.row.ref}") for run, c in by_title[title]])
        for title in shared[:MAX_CONDITIONS]
    ]
    for run in runs:
        own = [c for c in run.summary.all_conditions if c.title not in shared][:6]
        if own:
            groups.append(
                (
                    f"Only {run.letter}: highest of {len(run.summary.all_conditions)} conditions",
                    [run.scaled(c, c.title) for c in own],
                )
            )
    axis = scale(value for _, group in groups for condition in group for value in condition.activations)
    return axis, [(title, Plot([Row(c, strip(c.activations, axis)) for c in group], 0, ())) for title, group in groups]


def _highest(found: Sequence[tuple[Compared, Condition]]) -> float:
    means = drawable(condition.mean / run.unit for run, condition in found)
    return max(means, default=0.0)


def _differences(runs: Sequence[Compared]) -> list[tuple[str, list[str]]]:
    """Returns the settings in which the runs differ, a text per run."""
    settings = []
    for run in runs:
        manifest = run.summary.run.manifest
        settings.append(
            dict(flat(manifest.config)) | {f"version of {name}": text for name, text in manifest.versions.items()}
        )
    names = sorted({name for every in settings for name in every}, key=natural)
    rows = [(name, [every.get(name, "–") for every in settings]) for name in names]
    return [(name, values) for name, values in rows if len(set(values)) > 1]


def _hypotheses(runs: Sequence[Compared]) -> list[list[tuple[list[tuple[str, bool]], str]]]:
    """Returns, turn by turn, each run's hypotheses (and whether each is new) and what else the turn was."""
    columns = []
    for run in runs:
        column: list[tuple[list[tuple[str, bool]], str]] = []
        before: set[str] = set()
        for step in run.summary.steps[:MAX_TURNS]:
            stated = list(step.program.hypotheses[:8]) if step.program else []
            column.append(([(text, text not in before) for text in stated], step.kind))
            before |= set(stated)
        columns.append(column)
    longest = max(map(len, columns), default=0)
    return [[column[n] if n < len(column) else ([], "") for column in columns] for n in range(longest)]


def _exemplars(runs: Sequence[Compared]) -> Strip:
    lanes = [Lane(run, [(a, image, image.title) for a, image in run.summary.exemplars[:MAX_EXEMPLARS]]) for run in runs]
    return Strip("Exemplars", [lane for lane in lanes if lane.images])


def _tests(runs: Sequence[Compared]) -> list[Strip]:
    """Returns the images of the tests by what they were made for, where two runs have the same; else by run."""
    by_name: dict[str, list[Lane]] = {}
    for run in runs:
        verdict = run.summary.verdict
        for name, probes in (run.summary.probes(verdict) if verdict else {}).items():
            images = [
                (probe.activation, probe.image, probe.text or probe.image.title) for probe in probes[:MAX_EXEMPLARS]
            ]
            by_name.setdefault(name, []).append(Lane(run, images))
    strips = [Strip(name, lanes) for name, lanes in by_name.items()]
    return sorted(strips, key=lambda strip: -len(strip.lanes))[:MAX_TESTS]


async def show_compare(request: Request) -> Response:
    """Answers with runs side by side."""
    keys = request.query_params.getlist("run")
    page = await anyio.to_thread.run_sync(compare_page, view_of(request), keys, request.query_params)
    return HTMLResponse(page)


ROUTES = [Route("/compare/", show_compare)]
