"""Takes notes of a person on runs, the only thing that pages change, and gives them out as labels for `maia eval`."""

from __future__ import annotations

import json
import secrets

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from maia_core.plugin import UsageError, one_line
from maia_view.links import Links
from maia_view.notes import human_labels, read_note, write_note
from maia_view.pages import View, message, view_of

MAX_BODY = 16_384
"""Bytes of a form that are read."""

FORM = "application/x-www-form-urlencoded"


async def take_note(request: Request) -> Response:
    """Writes the note of a form, and leads back to the run."""
    view = view_of(request)
    run = view.library.find(request.path_params["key"])
    if run is None:
        return message(request, "This run is gone", "It was moved or removed; the note was not kept.", 404)
    length = request.headers.get("content-length", "")
    if not (length.isascii() and length.isdigit() and len(length) < 8 and int(length) <= MAX_BODY):
        return message(
            request, "The note is too long", f"A form has at most {MAX_BODY:,} bytes; shorten the note.", 413
        )
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        return message(request, "Not a form", "Notes come from the form on the page of a run.", 415)
    form = {name: value for name, value in (await request.form(max_fields=8)).items() if isinstance(value, str)}
    if not secrets.compare_digest(form.get("secret", "").encode("utf-8", "replace"), view.secret.encode()):
        return message(request, "The form is old", "The viewer was started again: go back, reload, and repeat.", 403)
    try:
        await anyio.to_thread.run_sync(write_note, run.path, form)
    except UsageError as error:
        return message(request, "The note was not kept", f"{one_line(error)}.", 422)
    return RedirectResponse(f"{Links(f'runs/{run.key}/').run(run.key)}#note", 303)


async def give_labels(request: Request) -> Response:
    """Answers with people's labels as the file that the explainer `human` reads."""
    data = await anyio.to_thread.run_sync(labels_file, view_of(request))
    headers = {"content-disposition": 'attachment; filename="labels.json"'}
    return Response(data, media_type="application/json", headers=headers)


def labels_file(view: View) -> bytes:
    """Returns people's labels as JSON: a list of objects with `unit` and `label`."""
    noted = ((view.library.row(run), read_note(run.path)) for run in view.library.runs())
    return (json.dumps(human_labels(noted), indent=1, ensure_ascii=False) + "\n").encode("utf-8", "replace")


ROUTES = [Route("/runs/{key}/note", take_note, methods=["POST"]), Route("/labels.json", give_labels)]
