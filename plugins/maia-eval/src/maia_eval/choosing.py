"""`maia eval set-choice`: asks the questions of the four-sets test, or hands them to people and takes their answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from maia_core.plugin import UsageError, printable

if TYPE_CHECKING:
    from maia_core.plugin import PluginRef, RunConfig
    from maia_eval.explaining import Contexts
    from maia_eval.results import Folder
    from maia_eval.set_choice import Question, SetImages

JUDGE = "judge"


@click.command("set-choice")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option(
    "--subject", default=JUDGE, show_default=True, metavar="NAME[:KEY=VALUE,...]",
    help="Ask the evaluation's `judge`, or a backbone of this name, which sees the sets.",
)  # fmt: skip
@click.option("--questions", type=click.IntRange(1, 50), default=2, show_default=True, help="Questions per unit.")
@click.option(
    "--test-dataset", metavar="NAME[:KEY=VALUE,...]",
    help="Take the images from this data set [default: the evaluation's held-out one].",
)  # fmt: skip
@click.option("--images", type=click.IntRange(32), default=600, show_default=True, help="Held-out images to draw from.")
@click.option(
    "--form", type=click.Path(file_okay=False, path_type=Path), metavar="FORM",
    help="Write a page of questions and a table for the answers into this folder; ask no subject.",
)  # fmt: skip
@click.option(
    "--answers", type=click.Path(path_type=Path), metavar="CSV", help="Import a table that a person filled in."
)
@click.option("--by", metavar="NAME", help="Name the person; a repeated name replaces the earlier answers.")
@click.option("--trust", is_flag=True, help="Test an evaluation that was created on another machine.")
@click.option("--quiet", is_flag=True, help="Print errors only.")
def set_choice(
    folder: Path, subject: str, questions: int, test_dataset: str | None, images: int, form: Path | None,
    answers: Path | None, by: str | None, trust: bool, quiet: bool,
) -> None:  # fmt: skip
    """Test whether a label tells which of four sets of images activates the unit (the paper's appendix E).

    DIR is an evaluation, whose labels are tested on held-out images. Chance is 25 %.
    """
    from maia_eval import people
    from maia_eval.results import Folder
    from maia_runs import check_signature

    evaluation = Folder(folder)
    if answers is None:
        check_signature(evaluation.manifest.settings, evaluation.manifest.seal, folder, trust)
    if answers is not None:
        if not by or not by.isprintable():
            raise UsageError("--answers needs the name of the person, in printable characters; add --by NAME")
        people.take(evaluation, answers, by)
    elif form is not None:
        asked = people.write(evaluation, form, _all_questions(evaluation, questions, test_dataset, images))
        click.echo(printable(f"{form / people.PAGE}: {asked} questions; answers go into {form / people.SHEET}"))
        return
    else:
        _ask(evaluation, subject, questions, test_dataset, images, quiet)
    _show(evaluation, quiet)


def _ask(folder: Folder, name: str, count: int, test_dataset: str | None, images: int, quiet: bool) -> None:
    """Asks a subject what it has not been asked yet."""
    from maia_core.plugin import content_id
    from maia_eval.choices import plugin_ref
    from maia_eval.results import slug
    from maia_eval.set_choice import PLACE, UnitChoices
    from maia_eval.subjects import BackboneSubject, JudgeSubject, Subject, silent
    from maia_judges import joined

    contexts, held = _held_out_images(folder, test_dataset, images)
    context = contexts.main
    subject: Subject
    if name == JUDGE:
        subject = JudgeSubject(context.part("judge"))
    else:
        chosen = plugin_ref(name)
        subject = BackboneSubject(context.build("backbone", chosen.name, **chosen.options), context.seed)
    explained = folder.explained()
    # Another number of questions, or other images, are other answers.
    place = f"{slug(name)}@{count}-{content_id(f'{held.dataset.fingerprint}/{images}'.encode())[:8]}"
    for unit in folder.units:
        if folder.read(UnitChoices, PLACE, place, unit) is not None:
            continue
        before = subject.usage
        asked = _questions(contexts, unit, held, count)
        choices = {}
        for explainer in folder.explainers:
            said = explained.get((unit, explainer))
            label = joined(said.labels, said.strengths) if said else ""
            choices[explainer] = tuple(subject.answer(label, each) if label else silent() for each in asked)
        result = UnitChoices(
            unit=unit,
            subject=name,
            skipped="" if asked else "too few held-out images activate it",
            choices=choices if asked else {},
            usage=subject.usage - before,
            fingerprints=context.fingerprints() | {"test data set": held.dataset.fingerprint},
        )
        folder.write(result, PLACE, place, unit)
        if not quiet:
            hits = (f"{who} {sum(c.hit for c in made):.2g}" for who, made in choices.items())
            line = f"{unit}: {result.skipped or f'of {len(asked)}: ' + ', '.join(hits)}"
            click.echo(printable(line))


def _all_questions(
    folder: Folder, count: int, test_dataset: str | None, images: int
) -> Iterator[tuple[str, int, Question]]:
    """Yields every unit's questions, with their numbers."""
    contexts, held = _held_out_images(folder, test_dataset, images)
    for unit in folder.units:
        for number, question in enumerate(_questions(contexts, unit, held, count)):
            yield unit, number, question


def _questions(contexts: Contexts, unit: str, held: SetImages, count: int) -> list[Question]:
    from maia_eval.set_choice import questions_of

    context = contexts.on(unit)
    return questions_of(context.system, held, count, context.seed, unit)


def _held_out_images(folder: Folder, test_dataset: str | None, images: int) -> tuple[Contexts, SetImages]:
    """Builds the contexts of an evaluation, and reads images that no explainer saw."""
    from maia_core.plugin import RunConfig, installed, validated
    from maia_eval.choices import plugin_ref
    from maia_eval.explaining import Contexts
    from maia_eval.set_choice import SetImages

    settings = folder.manifest.settings.get("config")
    config = validated(RunConfig, settings if isinstance(settings, dict) else {}, f"the evaluation {folder.path}")
    contexts = Contexts(config, folder.path / "runs", installed(), _say)
    chosen = plugin_ref(test_dataset) if test_dataset else _real(folder, config)
    return contexts, SetImages(contexts.main.build("dataset", chosen.name, **chosen.options), images)


def _say(line: str) -> None:
    click.echo(printable(" ".join(line.split())), err=True)


def _real(folder: Folder, config: RunConfig) -> PluginRef:
    """Returns the evaluation's held-out data set.

    Raises:
        UsageError: it has none.
    """
    from maia_core.plugin import PluginRef, installed
    from maia_exemplars.splits import held_out_dataset

    recorded = folder.manifest.settings.get("real")
    found = PluginRef.model_validate(recorded) if isinstance(recorded, dict) else held_out_dataset(config, installed())
    if found is None:
        raise UsageError(f"the data set '{config.dataset.name}' has no held-out split; name one with --test-dataset")
    return found


def _show(folder: Folder, quiet: bool) -> None:
    """Writes the table, and prints it."""
    from maia_eval.files import write
    from maia_eval.set_choice import PLACE
    from maia_eval.tables import TABLES, choices_lines, choices_table, csv_of

    found = choices_table(folder)
    file = folder.path / TABLES / f"{PLACE}.csv"
    write(file, csv_of(found))
    if not quiet:
        for line in choices_lines(folder):
            click.echo(printable(line))
