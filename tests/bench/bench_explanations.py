"""All explainers on all scores, offline: units of a real network drawn by seed, and the list of synthetic neurons.

The agent (heuristic backbone) with its final answer, with the same labels without their strengths, and with its first
answer, as it stood before verification; the baselines, `linear-explanation` and `line` without strengths, too; and
`nothing`, which calls every unit "images". Nothing was tuned on these units or neurons.

    python tests/bench/bench_explanations.py [--out DIR] [--each 10] [--neurons N] [--seed 0] [--workers 2]

About two hours on two cores; the same command goes on where it stopped. The pages are in DIR.
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path

from maia_core.context import Context, load
from maia_core.plugin import PluginRef
from maia_core.text import printable
from maia_eval.choices import drawn
from maia_eval.commands import predictive, synthetic
from maia_eval.report import report
from maia_eval.results import Folder
from maia_eval.summary import unit_results

MODEL = "efficientnet-lite0"
LAYERS = ("blocks.5", "blocks.10", "blocks.15", "head")
EXPLAINERS = (
    "agent",
    "agent-even=agent:strengths=false",
    "untested=agent:answer=first",
    "exemplar-summary",
    "clip-dissect",
    "linear-explanation",
    "linear-even=linear-explanation:strengths=false",
    "line",
    "line-even=line:strengths=false",
)


def nothing(units: list[str], file: Path) -> str:
    """Writes a file of labels that say nothing, and returns the explainer that reads it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows([("unit", "label"), *((unit, "images") for unit in units)])
    return f"nothing=human:file={file}"


def evaluated(command, arguments: list[str], explainers: list[str], out: Path, workers: int) -> float:
    """Runs an evaluation and its report; returns the seconds."""
    began = time.perf_counter()
    chosen = [part for each in explainers for part in ("--explainer", each)]
    common = ["--out", str(out), "--workers", str(workers)]
    command.main([*arguments, *chosen, *common], standalone_mode=False)
    seconds = time.perf_counter() - began
    report.main([str(out)], standalone_mode=False)
    return seconds


def main() -> None:
    """Runs both evaluations and prints their tables and what they took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark"))
    parser.add_argument("--each", type=int, default=10, help="units of each layer")
    parser.add_argument("--neurons", type=int, help="synthetic neurons of each kind; all by default")
    parser.add_argument("--seed", type=int, default=0, help="draws the units and the neurons")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()

    units = drawn(PluginRef(name=MODEL), LAYERS, options.each, options.seed, Context(load()))
    explainers = [*EXPLAINERS, nothing(units, options.out / "nothing.csv")]
    place = options.out / "predictive"
    seconds = evaluated(predictive, units, explainers, place, options.workers)
    results = unit_results(Folder(place))
    scoring = sum(result.seconds for result in results)
    made, reused = (sum(getattr(result, name) for result in results) for name in ("made", "reused"))
    pairs = len(units) * len(explainers)
    print(
        f"{pairs} explanations of {len(units)} units in {seconds / 60:.0f} min; {60 * pairs / scoring:.0f} scored a min"
    )
    print(f"test images: {made} drawn, {reused} taken again ({reused / max(1, made + reused):.0%})")
    for result in results:
        if result.state != "active" or result.error:
            print(printable(f"  {result.unit}: {result.state} {result.error}"))

    some = ["--list", f"collage@{options.seed}" if options.seed else "collage"]
    some += ["--each", str(options.neurons)] if options.neurons else []
    place = options.out / "synthetic"
    seconds = evaluated(synthetic, some, list(EXPLAINERS), place, options.workers)
    print(f"{len(Folder(place).units)} synthetic neurons in {seconds / 60:.0f} min")


if __name__ == "__main__":
    main()
