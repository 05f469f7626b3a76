import errno
import json
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PILImage

from maia_cli.progress import JsonProgress
from maia_core.codec import from_json, images_of, to_json
from maia_core.errors import RecordError, ToolError
from maia_core.events import Effects, HostCall, Manifest, MessageAdded, Noted, RunOutcome
from maia_core.image_store import ImageStore
from maia_core.record import RunReader, RunWriter
from maia_core.testing import disc
from maia_core.text import redacted
from maia_core.types import Logged, Message, UnitInfo


def _manifest() -> Manifest:
    return Manifest(id="a", created=1.0, config={}, seed=0, system=UnitInfo(model="m"), versions={"maia-core": "1"})


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "run"


def _write(folder, *events) -> None:
    writer = RunWriter.create(folder, _manifest())
    for event in events:
        writer.append(event)
    writer.close()


def test_events_and_pixels_come_back(folder):
    image = disc("red").retitled("red disc")
    mask = np.zeros((32, 32), np.bool_)
    mask[3:5, 4] = True
    masked = image.masked(mask)
    _write(folder, MessageAdded(message=Message.of("user", "look", masked)), Noted(text="two\nlines"))
    message, note = RunReader(folder).events
    assert note == Noted(text="two\nlines")
    [back] = message.message.images
    assert back.title == "red disc"
    assert np.array_equal(back.pixels(), masked.pixels())
    assert np.array_equal(back.mask(), mask)
    assert np.array_equal(back.clean.pixels(), image.pixels())


def test_masks_of_sizes_that_do_not_fill_bytes_come_back(folder):
    image = disc("red", size=13)
    mask = np.arange(169).reshape(13, 13) % 3 == 0
    _write(folder, MessageAdded(message=Message.of("user", image.masked(mask))))
    [back] = RunReader(folder).events[0].message.images
    assert np.array_equal(back.mask(), mask)


def test_torn_last_line_is_left_out(folder):
    _write(folder, Noted(text="one"), Noted(text="two"))
    journal = folder / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-9])
    assert [event.text for event in RunReader(folder).events] == ["one"]


def test_a_journal_is_followed_while_it_is_written(folder):
    """Each event once, none torn, and nothing read twice: a viewer polls this many times a second."""
    writer = RunWriter.create(folder, _manifest())
    reader = RunReader(folder)
    assert (reader.events, reader.end) == ([], 0)
    writer.append(Noted(text="one"))
    assert reader.read_on() == [Noted(text="one")]
    assert reader.read_on() == []
    journal = folder / "journal.jsonl"
    whole = journal.stat().st_size
    writer.append(Noted(text="two"))
    line = journal.read_bytes()[whole:]
    for size in (1, len(line) - 1):
        os.truncate(journal, whole)
        with journal.open("ab") as file:
            file.write(line[:size])
        assert reader.read_on() == []
        assert reader.end == whole
    with journal.open("ab") as file:
        file.write(line[-1:])
    writer.append(Noted(text="three"))
    assert reader.read_on() == [Noted(text="two"), Noted(text="three")]
    assert reader.events == RunReader(folder).events
    assert RunReader(folder, whole).events == [Noted(text="two"), Noted(text="three")]
    writer.close()


@pytest.mark.parametrize("more", [0, 1])
def test_the_last_events_are_read_alone(folder, more):
    """Status of ten thousand units must not read ten thousand journals to their beginnings."""
    _write(folder, Noted(text="one"), Noted(text="two"), Noted(text="three"))
    lines = (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    last = len(lines[1]) + len(lines[2])
    assert [event.text for event in RunReader(folder, -last - more).events] == ["two", "three"]
    assert [event.text for event in RunReader(folder, 1 - last).events] == ["three"]
    assert len(RunReader(folder, -10_000_000).events) == 3
    assert RunReader(folder, -1).events == []


def test_torn_line_in_the_middle_is_an_error_that_says_where(folder):
    _write(folder, Noted(text="one"), Noted(text="two"), Noted(text="three"))
    journal = folder / "journal.jsonl"
    lines = journal.read_text().splitlines()
    journal.write_text("\n".join([lines[0], lines[1][:9], lines[2], ""]))
    with pytest.raises(RecordError, match=f"byte {len(lines[0]) + 1}"):
        RunReader(folder)


def test_existing_folder_is_not_touched(folder):
    folder.mkdir()
    (folder / "precious").write_text("x")
    with pytest.raises(RecordError, match="exists already"):
        RunWriter.create(folder, _manifest())
    assert os.listdir(folder) == ["precious"]


def test_unwritable_place_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match="cannot write the run folder"):
        RunWriter.create(tmp_path / "file" / "run", _manifest())


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_full_disk_is_one_clear_error(folder):
    writer = RunWriter.create(folder, _manifest())
    writer.append(Noted(text="kept"))
    writer._journal.close()
    writer._journal = open("/dev/full", "wb", buffering=0)  # noqa: SIM115 - closed by the writer
    with pytest.raises(RecordError, match=os.strerror(errno.ENOSPC)):
        writer.append(Noted(text="lost"))
    writer.close()
    assert [event.text for event in RunReader(folder).events] == ["kept"]


def test_run_folder_from_elsewhere_is_not_followed_out_of_it(folder, tmp_path):
    image = disc("red")
    _write(folder, MessageAdded(message=Message.of("user", image)))
    secret = tmp_path / "secret.png"
    image.pil().save(secret)
    path = folder / "images" / f"{image.id}.png"
    path.unlink()
    path.symlink_to(secret)
    [back] = RunReader(folder).events[0].message.images
    with pytest.raises(RecordError, match="link"):
        back.pixels()
    journal = folder / "journal.jsonl"
    journal.write_text(journal.read_text().replace(image.id, "../" * 10 + "a" * 2))
    with pytest.raises(RecordError, match=r"journal\.jsonl, byte 0: not an event"):
        RunReader(folder)


def test_linked_journal_is_refused(folder, tmp_path):
    _write(folder, Noted(text="one"))
    (folder / "journal.jsonl").rename(tmp_path / "elsewhere")
    (folder / "journal.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RecordError, match="link"):
        RunReader(folder)


def test_folder_that_is_no_run_is_named(tmp_path):
    with pytest.raises(RecordError, match="not a run folder"):
        RunReader(tmp_path)


def test_record_of_a_later_format_is_refused(folder):
    _write(folder)
    data = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(data | {"format": 99}))
    with pytest.raises(RecordError, match="format 99"):
        RunReader(folder)


def test_images_are_found_in_every_corner_of_an_event():
    a, b, c = disc("red"), disc("blue"), disc("green")
    call = HostCall(
        turn=1,
        order=0,
        method="tools.x",
        arguments_hash="",
        effects=Effects(shown=[*Message.of("user", a).parts], logged=[Logged(title="t", activation=1.0, image=b)]),
    )
    assert list(images_of([call, {"deep": (c,)}])) == [a, b, c]


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.sampled_from(["$tuple", "$$"]), inner)
    ),
    max_leaves=20,
)


@given(_VALUES)
def test_values_survive_the_journal(value):
    assert from_json(json.loads(json.dumps(to_json(value))), ImageStore("nowhere")) == value


def test_pipe_in_the_place_of_a_file_is_refused_instead_of_waited_for(folder):
    _write(folder)
    (folder / "run.json").unlink()
    os.mkfifo(folder / "run.json")
    with pytest.raises(RecordError, match="not a regular file"):
        RunReader(folder)


def test_what_a_kill_left_of_a_folder_in_the_making_is_taken_over(folder):
    (folder / "images").mkdir(parents=True)
    (folder / "journal.jsonl").touch()
    (folder / ".run.json.abc").write_text("{")
    _write(folder, Noted(text="one"))
    assert [event.text for event in RunReader(folder).events] == ["one"]


def test_pixels_of_another_size_than_recorded_are_refused(folder):
    image = disc("red")
    _write(folder, MessageAdded(message=Message.of("user", image)))
    disc("red", size=16).pil().save(folder / "images" / f"{image.id}.png")
    [back] = RunReader(folder).events[0].message.images
    with pytest.raises(RecordError, match="16x16"):
        back.pixels()


def test_a_secret_of_the_environment_never_reaches_the_record(make_fake_session, tmp_path, monkeypatch):
    """Providers repeat a wrong key in their error messages."""
    secret = "sk-proj-0123456789abcdef"
    monkeypatch.setenv("ACME_API_KEY", secret)
    monkeypatch.setenv("OTHER_TOKEN", "execution")  # A plain word would be found everywhere.
    session = make_fake_session()
    writer = RunWriter.create(tmp_path / "run", _manifest())
    writer.append(Noted(text=f'wrong key: {secret}, see the "docs"'))
    writer.append(session.outcome("failed", f"401: {secret}"))
    writer.close()
    run = RunReader(tmp_path / "run")
    assert secret not in (tmp_path / "run" / "journal.jsonl").read_text()
    assert run.of_type(Noted)[0].text == 'wrong key: [ACME_API_KEY], see the "docs"'
    assert run.outcome.status == "failed"


SECRETS = {
    "ACME_API_KEY": "abcdefghijklmnopqrstuvwxyz",
    "B_TOKEN": 'p"a\\ssw0rd-é',
    "DB_PASS": "hunter2hunter2",
    "GH_PAT": "ghp_1234567890abcd",
    "ACME_API_KEY_2": "sk-second-0000111122",
    "PIN_KEY": "1234567890123456",
    "HTTPS_PROXY": "http://somebody:s3cretpw99@proxy:80",
}


def _spelt(secret: str) -> list[str]:
    """Returns a secret as it would stand in a file."""
    return [secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]]


@pytest.mark.parametrize("name", SECRETS)
def test_secrets_are_known_by_name_and_taken_out_of_texts_keys_and_the_manifest(folder, monkeypatch, name):
    monkeypatch.setenv(name, SECRETS[name])
    secret = SECRETS[name].removeprefix("http://").removesuffix("@proxy:80")
    said = [secret, json.dumps({"error": secret})]
    writer = RunWriter.create(folder, _manifest().model_copy(update={"config": {"key": secret}}))
    for text in said:
        writer.append(HostCall(turn=1, order=0, method="tools.x", arguments_hash="", arguments={text: [text]}))
    writer.close()
    files = (folder / "journal.jsonl").read_text() + (folder / "run.json").read_text()
    assert not [spelling for spelling in _spelt(secret) if spelling in files]
    run = RunReader(folder)
    assert run.manifest.config == {"key": f"[{name}]"}
    assert run.events[0].arguments == {f"[{name}]": [f"[{name}]"]}


@pytest.mark.parametrize("value", ["message", "exemplars", "20240101", "short1"])
def test_a_plain_word_or_number_is_no_secret(monkeypatch, value):
    monkeypatch.setenv("OTHER_PASS", value)
    assert redacted({value: value}) == {value: value}


def test_progress_for_machines_holds_no_secret(monkeypatch, capsys):
    monkeypatch.setenv("ACME_API_KEY", "sk-proj-0123456789abcdef")
    JsonProgress().run_finished(RunOutcome(status="failed", reason="wrong key sk-proj-0123456789abcdef"))
    assert json.loads(capsys.readouterr().out)["reason"] == "wrong key [ACME_API_KEY]"


@pytest.mark.parametrize(
    ("limit", "most"), [("MAX_EVENTS", 2), ("MAX_LINE", 4096), ("MAX_VALUES", 20)], ids=["events", "line", "values"]
)
def test_a_journal_that_would_fill_the_memory_is_refused_before_it_is_read(folder, monkeypatch, limit, most):
    _write(folder, Noted(text="one"), Noted(text="two"), Noted(text=","))
    with open(folder / "journal.jsonl", "ab") as journal:
        journal.write(b'{"event": "note", "text": "' + b"," * 5000 + b'"}\n' + b"[" * 50_000)
    monkeypatch.setattr(f"maia_core.record.{limit}", most)
    with pytest.raises(RecordError, match=r"journal\.jsonl, byte \d+: more than a journal may hold"):
        RunReader(folder)


def test_a_picture_that_would_fill_the_memory_is_refused_before_it_is_read(folder):
    """A few kilobytes of PNG may hold any number of pixels."""
    (folder / "images").mkdir(parents=True)
    PILImage.new("1", (8001, 8000)).save(folder / "images" / f"{'a' * 32}.png")
    with pytest.raises(RecordError, match="8001x8000 pixels; at most 64,000,000"):
        ImageStore(folder / "images").load("a" * 32, False, 8001, 8000)
    with pytest.raises(RecordError, match="8001x8000 pixels; its record says 80x80"):
        ImageStore(folder / "images").load("a" * 32, False, 80, 80)


@pytest.mark.parametrize(("limit", "most"), [("MAX_LINE", 5000), ("MAX_VALUES", 2000), ("MAX_BYTES", 5000)])
def test_what_is_written_can_be_read(folder, monkeypatch, limit, most):
    """A run that was paid for must not end in a record that nobody can read: the call that is too much is refused."""
    monkeypatch.setattr(f"maia_core.record.{limit}", most)
    long = HostCall(turn=1, order=0, method="tools.t", arguments_hash="0" * 32, result=[1.0] * 3000)
    writer = RunWriter.create(folder, _manifest())
    writer.append(Noted(text="one"))
    for _ in range(2):
        with pytest.raises(ToolError, match="less at once"):
            writer.append(long)
    writer.append(long.model_copy(update={"result": None, "error": "too long"}))
    writer.close()
    writer = RunWriter.reopen(folder)
    with pytest.raises(RecordError, match="as long as a record may be"):
        writer.append(Noted(text="[" * 6000))
    writer.append(RunOutcome(status="answered"))
    writer.close()
    assert RunReader(folder).outcome.status == "answered"
    assert len(RunReader(folder).events) == 3


def test_a_title_is_cut_and_survives_the_record(folder):
    """A prompt of 150,000 characters would stand under every image made of it, as often as it is shown."""
    image = disc("red").retitled("a red disc " * 20_000)
    assert len(image.title) == 1000
    assert image.title.endswith("…")
    _write(folder, MessageAdded(message=Message.of("user", image)))
    assert RunReader(folder).events[0].message.images[0].title == image.title


@pytest.mark.parametrize("mask", [0o077, 0o022, 0o002])
def test_files_have_the_rights_that_the_user_gives(folder, mask):
    before = os.umask(mask)
    try:
        _write(folder)
    finally:
        os.umask(before)
    assert (folder / "run.json").stat().st_mode & 0o777 == 0o666 & ~mask


@pytest.mark.parametrize(
    "name",
    [
        "API_KEYS",
        "MYSQL_PWD",
        "SLACK_WEBHOOK_URL",
        "OPENAI_API_KEY_PROD",
        "AZURE_STORAGE_CONNECTION_STRING",
        "MY_COOKIE",
    ],
)
def test_values_of_variables_with_the_names_of_secrets_are_removed(monkeypatch, name):
    monkeypatch.setenv(name, "s3cr3t-value-1")
    assert redacted("it is s3cr3t-value-1") == f"it is [{name}]"


@pytest.mark.parametrize("name", ["PWD", "OLDPWD", "PATH", "TOKENIZERS_PARALLELISM", "KEYBOARD_LAYOUT"])
def test_values_of_other_variables_stay(monkeypatch, name):
    monkeypatch.setenv(name, "/some/folder-1")
    assert redacted("in /some/folder-1") == "in /some/folder-1"


@pytest.mark.parametrize(
    "text",
    ["[]", "3", '"x"', "null", "{", "{}", '{"format": null}', '{"format": [2]}', '{"format": 2}', '{"format": 1}'],
)
def test_a_damaged_manifest_is_one_plain_line(folder, text):
    """Python's and pydantic's words told a person nothing: "'list' object has no attribute 'get'"."""
    _write(folder, Noted(text="one"))
    (folder / "run.json").write_text(text)
    _plainly_refused(folder)


@pytest.mark.parametrize("value", [None, "x", [], {}, ["x"], {"x": 1}, 1e300])
def test_a_field_of_a_wrong_type_is_named_in_a_plain_line(folder, value):
    _write(folder, Noted(text="one"))
    written = json.loads((folder / "run.json").read_text())
    for key, old in written.items():
        if type(old) is not type(value) and not isinstance(old, dict | list):
            (folder / "run.json").write_text(json.dumps(written | {key: value}))
            _plainly_refused(folder, key)


def _plainly_refused(folder, names="run.json"):
    with pytest.raises(RecordError) as raised:
        RunReader(folder)
    line = str(raised.value).replace(str(folder), "")
    assert names in line
    assert "\n" not in line
    assert len(line) < 400
    assert not [word for word in ("object", "Error", "pydantic", "None", "input_", "Input", "_type") if word in line]
