"""`maia planted`: List the models of a benchmark with their truth."""

from __future__ import annotations

import json

import click


@click.group()
def planted() -> None:
    """List models with a planted bias."""


@planted.command("list")
@click.argument("name", default="development", metavar="[LIST]")
@click.option("--refs", is_flag=True, help="Print what `maia sweep` takes, and nothing of the truth.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line instead of a table.")
def list_models(name: str, refs: bool, as_json: bool) -> None:
    """List the models of a LIST: `development` (the default), `reported`, or a number as the seed of another list.

    Choose one of them with --system planted:LIST/NUMBER.
    """
    from maia_core.plugin import Context
    from maia_planted.subjects import subjects_of

    subjects = subjects_of(name, Context())
    if refs:
        click.echo(" ".join(f"planted:{name}/{number}" for number in range(1, len(subjects) + 1)))
        return
    width = len(f"{name}/{len(subjects)}")
    for number, subject in enumerate(subjects, 1):
        row = {"model": f"{name}/{number}", "form": subject.form, "kind": subject.kind, "truth": subject.truth}
        click.echo(
            json.dumps(row) if as_json else f"{row['model']:{width}}  {row['form']:8}  {row['kind']:10}  {row['truth']}"
        )
