"""What a client sees, and what it never sees."""

import base64
import io
import json
import os

import anyio
import numpy as np
import pytest
from mcp.types import ImageContent
from PIL import Image as PILImage

from maia_core.plugin import RunReader

ANSWER = {"description": "Red discs.", "label": "red"}


async def _everything(call, **start):
    """Calls all that there is, rightly and wrongly, and returns all that came back."""
    client = call.client
    heard = [await client.list_tools(), await client.list_prompts(), await client.list_resource_templates()]
    heard += [client.server_info, client.instructions, (await call("start_run", **start)).result]
    shown = await call("dataset_exemplars")
    heard += [shown.result, (await call("text2image", prompts=["a red disc"])).result]
    for tool in ("neuron", "text2image", "log_experiment", "describe_images", "broken", "nothing"):
        heard += [(await call(tool, images=["nothing"], prompts=5)).result]
    program = (
        "def run_experiment(system, tools):\n    print(dir(system), system, tools, system.info)\n    return open('/')"
    )
    heard += [(await call("run_program", program=program)).result, (await call("results")).result]
    heard += [(await call("submit_answer", **ANSWER)).result, (await call("start_run", resume=call.run)).result]
    resources = (await client.list_resources()).resources
    heard += [resources, *[await client.read_resource(str(each.uri)) for each in resources]]
    heard += [await client.get_prompt("task", {"run": call.run}), await client.get_prompt("task")]
    return heard


def _as_text(heard):
    return json.dumps(heard, default=lambda value: getattr(value, "__dict__", str(value)))


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_withheld_truth_paths_and_settings_never_appear(make_desk, drive, tmp_path, monkeypatch, mode):
    monkeypatch.setenv("SOME_API_KEY", "a-secret-of-the-environment")
    desk = make_desk(
        system="withheld:zebrafish", seed=4711,
        tools=["dataset_exemplars", "text2image", "log_experiment", "describe_images", "results", "broken"],
    )  # fmt: skip
    text = _as_text(drive(desk, _everything, "tester", mode))
    assert "a red disc" in text
    record = "".join(path.read_text() for path in (tmp_path / "runs").rglob("*.json*"))
    for hidden in ("zebrafish", str(tmp_path), os.getcwd(), "4711", "a-secret", "/home/", "discs_tools", "fingerprint"):
        assert hidden not in text, hidden
    assert "zebrafish" in record, "it is in the record, so the test would see it"
    assert "Traceback (most recent call last)" in record


def test_an_image_is_a_resource_once_its_client_has_seen_it(make_desk, drive, tmp_path):
    async def work(call):
        await call("start_run", unit="colours:red")
        made = await call("text2image", prompts=["a red disc"])
        await call("submit_answer", **ANSWER)
        (name,) = made.ids
        (blob,) = (await call.client.read_resource(f"maia://{call.run}/images/{name}")).contents
        unseen = {path.name[:12] for path in (tmp_path / "runs").rglob("*.png")} - {name}
        refused = []
        for other in [*unseen, "0" * 12, "../../run.json", "report/../../x"]:
            try:
                await call.client.read_resource(f"maia://{call.run}/images/{other}")
            except Exception as error:
                refused.append(str(error))
        return blob.blob, unseen, refused

    blob, unseen, refused = drive(make_desk(), work)
    picture = PILImage.open(io.BytesIO(base64.b64decode(blob)))
    assert picture.format == "JPEG"
    assert np.asarray(picture)[:, :, 0].max() > 200
    assert len(refused) == len(unseen) + 3


def test_the_report_is_the_conversation(make_desk, drive):
    async def work(call):
        await call("start_run", unit="colours:red")
        await call("text2image", prompts=["a red disc"])
        await call("submit_answer", **ANSWER)
        (report,) = (await call.client.read_resource(f"maia://{call.run}/report")).contents
        return report

    report = drive(make_desk(), work)
    assert report.mime_type == "text/markdown"
    for part in ("tools.text2image(prompts=['a red disc'])", "Red discs.", "MAIA takes your answer"):
        assert part in report.text


@pytest.mark.parametrize("by", ["server", "client"])
def test_words_of_the_describer_instead_of_images(make_desk, drive, by):
    async def work(call):
        await call("start_run", unit="colours:red", **({"images": "text"} if by == "client" else {}))
        return await call("text2image", prompts=["a red disc", "a blue disc"])

    made = drive(make_desk("text" if by == "server" else "inline"), work)
    assert not [block for block in made.result.content if isinstance(block, ImageContent)]
    assert made.text.count("a describer says:") == 2


def test_results_have_no_structured_content(make_desk, drive):
    async def work(call):
        started = await call("start_run", unit="colours:red")
        return [
            started.result,
            (await call("text2image", prompts=["a red disc"])).result,
            (await call("results")).result,
        ]

    assert all(result.structured_content is None for result in drive(make_desk(), work))


@pytest.mark.slow
@pytest.mark.pack
def test_a_client_gets_a_label_of_a_real_unit_verified(make_desk, connect, tmp_path, monkeypatch):
    """A scripted client: exemplars, a comparison of what they show with controls, the answer, the verdict."""
    monkeypatch.delenv("MAIA_CACHE")
    parts = dict.fromkeys(("dataset", "generator", "editor"), "collage") | {"describer": "nearest"}
    desk = make_desk(system="efficientnet-lite0", verifier="held-out", **parts)
    conditions = {
        "flowers": ["a flower on grass", "a flower on sand", "three flowers on rocks", "a small flower on snow"],
        "candy canes": ["a candy cane on grass", "a candy cane on sand", "two candy canes on snow", "a candy cane"],
    }
    controls = ["grass", "a car on sand", "a small cup on rocks", "two balls on snow"]

    async def main():
        async with connect(desk) as call:
            await call("start_run", unit="head:303")
            shown = await call("dataset_exemplars")
            compared = await call("compare_prompts", conditions=conditions, controls=controls)
            answer = {"description": "Flowers and candy canes.", "label": ["flower (80 %)", "candy cane (main)"]}
            ended = await call("submit_answer", **answer)
            if "only partly verified" in ended.text:  # A check is undecided; the same answer again is the last word.
                ended = await call("submit_answer", **answer)
            return shown, compared, ended

    shown, compared, ended = anyio.run(main)
    assert len(shown.ids) == 15
    assert "AUC against the controls 1.00" in compared.text
    assert "MAIA takes your answer" in ended.text
    assert "verified" in ended.text
    (folder,) = (tmp_path / "runs").iterdir()
    record = RunReader(folder)
    assert record.ended.status == "answered"
    assert record.ended.verdict.measured
    assert record.ended.verdict.passed or record.ended.verdict.partly
    assert (folder / "report.html").exists()
