"""Tables of an evaluation as files: CSV, Markdown, and Parquet where pyarrow is installed."""

from __future__ import annotations

import csv
import importlib.util
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from maia_core.plugin import plain_folder, write_atomically
from maia_eval.bias_results import Share, bias_results, bias_rows
from maia_eval.forms import cell, people, visible
from maia_eval.metrics import Estimate
from maia_eval.results import Folder
from maia_eval.set_choice import PLACE, choice_rows
from maia_eval.summary import (
    FIGURES,
    Preferred,
    differences,
    efforts,
    naming_rows,
    neuron_results,
    predictive_rows,
    preference_rows,
    published,
    unit_results,
    written,
)
from maia_labels import any_of

TABLES = "tables"
"""Subfolder of an evaluation that its tables are written to."""

Table = list[dict[str, Any]]
"""Rows of one set of columns; values are texts, numbers, or None."""


def tables(folder: Folder) -> dict[str, Table]:
    """Returns the tables of an evaluation by name: one row an explainer and group, and one a unit and explainer."""
    found = {"predictive": _predictive, "synthetic": _synthetic, "bias": _bias}[folder.manifest.kind](folder)
    explained = folder.explained()
    found[PLACE] = choices_table(folder)
    spent = efforts(explained.values(), folder.explainers)
    found["effort"] = [each._asdict() | each.conduct.model_dump() for each in spent]
    for row in found["effort"]:
        del row["conduct"]
    return {name: rows for name, rows in found.items() if rows}


def _predictive(folder: Folder) -> dict[str, Table]:
    results = unit_results(folder)
    rows = predictive_rows(results, folder.explainers, folder.seed)
    scores: Table = []
    for row in rows:
        line: dict[str, Any] = {"group": row.group, "explainer": row.explainer, "units": row.units, "published": False}
        for figure in FIGURES:
            estimate = row.figures[figure.key]
            line |= {figure.key: estimate.value, f"{figure.key}_low": estimate.low, f"{figure.key}_high": estimate.high}
        scores.append(line)
    for each in published()["predictive"] if scores else []:
        blank = dict.fromkeys(scores[0], None)
        named = {"group": each["model"], "explainer": each["explainer"], "published": True}
        scores.append({**blank, **named, "plus_raw": each["plus"], "minus_raw": each["minus"]})
    units: Table = []
    for result in results:
        for name in folder.explainers:
            given = result.scores.get(name)
            line = {"unit": result.unit, "layer": result.layer, "state": result.state, "explainer": name}
            line |= {"label": given.label if given else "", "error": result.error, "dropped": len(result.dropped)}
            line |= {figure.key: figure.of(result, given) if given else None for figure in FIGURES}
            units.append(line)
    compared: Table = []
    for each in differences(results, folder.explainers, folder.seed):
        line = {"a": each.a, "b": each.b}
        for key, estimate in each.figures.items():
            line |= {key: estimate.value, f"{key}_low": estimate.low, f"{key}_high": estimate.high}
        compared.append(line)
    return {"scores": scores, "differences": compared, "units": units}


def _synthetic(folder: Folder) -> dict[str, Table]:
    results = neuron_results(folder)
    explained = folder.explained()
    naming: Table = [
        {
            "group": row.group,
            "explainer": row.explainer,
            **row.counts,
            "right_share": row.right.value,
            "right_low": row.right.low,
            "right_high": row.right.high,
        }
        for row in naming_rows(results, folder.explainers)
    ]
    units: Table = [
        {
            "unit": result.unit,
            "kind": result.kind,
            "truth": result.truth,
            "explainer": name,
            "label": any_of(explained[result.unit, name].labels) if (result.unit, name) in explained else "",
            "verdict": said,
        }
        for result in results
        for name, said in result.verdicts.items()
    ]
    return {"named": naming, "preferred": preferred_table([*preference_rows(results), *people(folder)]), "units": units}


def _bias(folder: Folder) -> dict[str, Table]:
    results = bias_results(folder)
    rows: Table = []
    for row in bias_rows(results, folder.explainers, folder.seed):
        line: dict[str, Any] = {"group": row.group, "explainer": row.explainer, "models": row.models}
        for key in ("named", "only", "false_alarms", "wrong", "sides", "choices"):
            estimate: Estimate = getattr(row, key)
            line |= {
                key: estimate.value,
                f"{key}_low": estimate.low,
                f"{key}_high": estimate.high,
                f"{key}_n": estimate.n,
            }
        rows.append(line)
    units: Table = []
    failures: Table = []
    for result in results:
        known = {"unit": result.unit, "form": result.form, "kind": result.kind, "truth": result.truth}
        for name, scores in result.scores.items():
            reported = [scores.findings[n] for n in scores.reported]
            said = "; ".join(f"{finding.direction}: {finding.subgroup}" for finding in reported)
            units.append(
                {**known, "explainer": name, "findings": said, "verdict": scores.verdict, "wrong": scores.wrong}
            )
            for each in scores.failures:
                line = {"unit": result.unit, "explainer": name, "subgroup": each.subgroup, "claimed": each.direction}
                for key in ("inside", "outside", "precision"):
                    share: Share = getattr(each, key)
                    line |= {key: share.hits / share.of if share.of else None, f"{key}_of": share.of}
                overall = result.accuracy
                failures.append({**line, "all images": overall.hits / overall.of if overall.of else None})
    return {"bias": rows, "models": units, "failures": failures}


def preferred_table(rows: Iterable[Preferred]) -> Table:
    """Returns the rows of 2AFC comparisons, the published ones behind them."""
    found: Table = [
        {
            "judge": row.judge, "a": row.a, "b": row.b, "a_preferred": row.share.value, "low": row.share.low,
            "high": row.share.high, "n": row.share.n, "same": row.same, "published": False,
        }
        for row in rows
    ]  # fmt: skip
    if found:
        blank = dict.fromkeys(found[0], None)
        found += [
            {
                **blank,
                "judge": "people",
                "a": each["a"],
                "b": each["b"],
                "a_preferred": each["share"],
                "published": True,
            }
            for each in published()["2AFC"]
        ]
    return found


def choices_table(folder: Folder) -> Table:
    """Returns the rows of the four-sets test, the published ones behind them; none where nobody was asked."""
    found: Table = [
        {
            "subject": row.subject, "explainer": row.explainer, "units": row.units, "questions": row.share.n,
            "right_share": row.share.value, "right_low": row.share.low, "right_high": row.share.high, "published": "",
        }
        for row in choice_rows(folder)
    ]  # fmt: skip
    if found:
        blank = dict.fromkeys(found[0], None)
        found += [
            {
                **blank,
                "subject": "people",
                "explainer": e["explainer"],
                "right_share": e["share"],
                "published": e["model"],
            }
            for e in published()["set choice"]
        ]
    return found


def choices_lines(folder: Folder) -> list[str]:
    """Returns the rows of the four-sets test for a terminal, the published ones behind them."""
    own = choice_rows(folder)
    lines = [["asked", "explainer", "units", "questions", "right"]]
    lines += [[r.called, r.explainer, str(r.units), str(r.share.n), written(r.share)] for r in own]
    shown = published()["set choice"] if own else []
    lines += [[f"people (published, {e['model']})", e["explainer"], "", "", f"{e['share']:.2f}"] for e in shown]
    return aligned(lines, left=2)


def write_tables(found: Mapping[str, Table], out: Path) -> list[Path]:
    """Writes every table as CSV, all as Markdown, and as Parquet where pyarrow is installed.

    Raises:
        OSError: the folder cannot be written, or is a link.
    """
    plain_folder(out)
    files = []
    for name, rows in found.items():
        write_atomically(out / f"{name}.csv", csv_of(rows).encode("utf-8", "replace"))
        files.append(out / f"{name}.csv")
        if importlib.util.find_spec("pyarrow") is not None:
            write_atomically(out / f"{name}.parquet", _parquet(rows))
            files.append(out / f"{name}.parquet")
    text = "\n\n".join(f"## {name}\n\n{markdown(rows)}" for name, rows in found.items())
    write_atomically(out / "tables.md", (text + "\n").encode("utf-8", "replace"))
    return [*files, out / "tables.md"]


def csv_of(rows: Sequence[Mapping[str, Any]]) -> str:
    """Returns rows as CSV; what is not known is empty, and no text is taken for a formula."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    for row in rows:
        writer.writerow({key: "" if _unknown(v) else cell(v) if isinstance(v, str) else v for key, v in row.items()})
    return text.getvalue()


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Returns rows as a Markdown table; the ends of intervals stand beside their figure."""
    names = [n for n in rows[0] if not n.endswith(("_low", "_high")) and n not in ("low", "high")]
    lines = [names, ["---"] * len(names)]
    for row in rows:
        lines.append([_shown(row, name) for name in names])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def aligned(lines: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Returns rows of cells as lines of columns for a terminal; the first `left` columns are flush left."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            f"{text:<{width}}" if place < left else f"{text:>{width}}"
            for place, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]


def _shown(row: Mapping[str, Any], name: str) -> str:
    value = row[name]
    if _unknown(value):
        return ""
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, float):
        base = name.removesuffix("_share")
        low, high = (
            row.get(f"{base}_{end}", row.get(end) if name == "a_preferred" else None) for end in ("low", "high")
        )
        if _unknown(low) or _unknown(high):
            return f"{value:.3g}"
        from maia_eval.metrics import Estimate

        return written(Estimate(value, float(low), float(high), 0))
    text = visible(" ".join(str(value).split()))
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("[", "\\[").replace("`", "\\`")


def _parquet(rows: Sequence[Mapping[str, Any]]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    columns = {key: [None if _unknown(row[key]) else row[key] for row in rows] for key in rows[0]}
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def _unknown(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
