import re
from html.parser import HTMLParser

import numpy as np
import pytest

from maia_core.errors import BackboneError
from maia_core.feedback import final_request
from maia_core.image import Image
from maia_core.replies import parse_reply
from maia_core.testing import disc
from maia_core.types import CallLimits, Message
from maia_human.inline import HalfBlocks
from maia_human.layout import blocks

TAGS = ("DESCRIPTION", "LABEL")
START = [Message.of("system", "THE LIBRARY"), Message.of("user", "THE TASK")]
CODE = "[CODE]:\n```python\ndef run_experiment(system, tools):\n    print(1)\n```\n"


def _reply(human, messages=START):
    return human.complete(messages, CallLimits(max_output_tokens=1, seconds=0.001)).text


def _program(human):
    return parse_reply(_reply(human), TAGS).program


def test_a_person_need_not_know_the_form(make_human):
    human, _ = make_human("hypothesis red things\nhypothesis: discs\n\nprint(system.neuron([])[0])\n.\n")
    parsed = parse_reply(_reply(human), TAGS)
    assert parsed.program == "def run_experiment(system, tools):\n    print(system.neuron([])[0])\n"
    assert parsed.hypotheses == ("red things", "discs")


def test_hypotheses_belong_to_one_experiment_only(make_human):
    human, _ = make_human("hypothesis red\nprint(1)\n.\nprint(2)\n.\n")
    assert "Hypothesis_1: red" in _reply(human)
    assert "Hypothesis" not in _reply(human)


def test_the_form_of_the_task_is_taken_too(make_human):
    human, _ = make_human(f"{CODE}.\nhypothesis red\n[HYPOTHESIS LIST]:\nHypothesis_1: blue\n{CODE}.\n")
    assert _reply(human).strip() == CODE.strip()
    assert parse_reply(_reply(human), TAGS).hypotheses == ("blue", "red")


def test_an_answer_is_asked_for_part_by_part(make_human):
    human, out = make_human("answer\nRed discs\nof any size.\n\nred\ndiscs\n\n")
    sections = parse_reply(_reply(human), TAGS).sections
    assert sections == {"DESCRIPTION": ["Red discs of any size."], "LABEL": ["red", "discs"]}
    assert "DESCRIPTION" in out.getvalue()


def test_a_printed_request_does_not_end_the_run(make_human):
    request = final_request("all turns are used", TAGS).text
    reply = Message.of("assistant", CODE)
    for printed in (f"Printed:\n{request}", request):
        human, _ = make_human("print(1)\n.\n")
        assert "print(1)" in _program_after(human, [*START, reply, Message.of("user", printed, "(turn 2 of 30)")])
    human, _ = make_human("print(1)\n.\nanswer\nRed.\n\nred\n\n")
    text = _reply(human, [*START, reply, Message.of("user", "Printed:\n1", "(turn 30 of 30)", request)])
    assert parse_reply(text, TAGS).sections["LABEL"] == ["red"]


def _program_after(human, messages):
    return parse_reply(_reply(human, messages), TAGS).program


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("print(1\n", "Not sent: line 1: '\\(' was never closed"),
        ("dogs with floppy ears\n", "Not sent: line 1: invalid syntax"),
        ("dogs\n", "calls nothing"),
        ("[DESCRIPTION]: red\n", r"lacks \[LABEL\]"),
        (f"{CODE}[DESCRIPTION]: red\n[LABEL]: red\n", "both a program and an answer"),
        ("[CODE]:\n```python\ndef run_experiment(system, tools):\n    x = = 2\n```\n", "line 2: invalid syntax"),
        ("```\nprint(1)\n```\n", "does not define run_experiment"),
        ("edit\n", "needs a terminal"),
        ("answer\n\n\n", "No answer was given"),
        ("answer\nred\n\n\n", r"lacks \[LABEL\]"),
    ],
)
def test_what_is_no_reply_is_said_and_not_sent(make_human, typed, says):
    sent = typed if typed.startswith(("edit", "answer")) else f"{typed}.\n"
    human, out = make_human(f"{sent}print(7)\n.\n")
    assert "print(7)" in _program(human)
    assert re.search(says, out.getvalue()), out.getvalue()


def test_the_end_of_the_input_sends_what_was_typed_and_then_ends_the_run(make_human):
    human, _ = make_human("print(1)")
    assert "print(1)" in _program(human)
    with pytest.raises(BackboneError, match="the input has ended; resume with maia run --resume RUN"):
        _reply(human)


def test_commands_show_the_library_and_the_images(make_human):
    human, out = make_human("api\nimages\nhelp\nprint(1)\n.\n")
    _reply(human)
    assert "THE LIBRARY" in out.getvalue()
    assert "no images yet" in out.getvalue()
    assert "hypothesis TEXT" in out.getvalue()


def test_a_command_word_inside_of_a_program_is_python(make_human):
    human, _ = make_human("x = dict(\nanswer\n=1)\n.\n")
    assert "answer\n" in _program(human)


def test_only_what_is_new_is_shown(make_human):
    human, out = make_human("print(1)\n.\nprint(2)\n.\n")
    first = _reply(human)
    shown = len(out.getvalue())
    _reply(human, [*START, Message.of("assistant", first), Message.of("user", "WHAT CAME", "(turn 1 of 30)")])
    assert "THE TASK" in out.getvalue()[:shown]
    assert "THE TASK" not in out.getvalue()[shown:]
    assert "WHAT CAME" in out.getvalue()[shown:]


def test_a_resumed_run_shows_the_task_and_the_newest_part(make_human):
    human, out = make_human("print(1)\n.\n")
    earlier = [Message.of("assistant", "OLD REPLY"), Message.of("user", "OLD RESULT")] * 2
    _reply(human, [*START, *earlier, Message.of("assistant", "LAST"), Message.of("user", "NEW RESULT")])
    for text, there in (
        ("THE TASK", True),
        ("NEW RESULT", True),
        ("OLD RESULT", False),
        ("What came before (3 turns) is in it", True),
    ):
        assert (text in out.getvalue()) == there


def test_images_are_written_once_with_their_numbers(make_human, tmp_path):
    human, out = make_human("print(1)\n.\nimages\nprint(2)\n.\n", folder=tmp_path / "kept")
    red, blue = disc("red").retitled("a red disc"), disc("blue").retitled("")
    corner = np.zeros((32, 32), np.bool_)
    corner[0, 0] = True
    masked = red.masked(corner)
    shown = [*START, Message.of("assistant", "x"), Message.of("user", "a red disc: activation 3", red, blue, masked)]
    _reply(human, shown)
    _reply(human, [*shown, Message.of("assistant", "y"), Message.of("user", red)])
    files = sorted(path.name for path in (tmp_path / "kept").glob("*.png"))
    assert files == ["001-a-red-disc.png", "002.png", "003-a-red-disc.png"]
    assert out.getvalue().count(f"[1]  a red disc: activation 3  {tmp_path / 'kept' / files[0]}") == 1
    assert out.getvalue().count(f"[2]  {tmp_path / 'kept' / files[1]}") == 2
    from PIL import Image as PILImage

    bright, dark = (np.asarray(PILImage.open(tmp_path / "kept" / name)) for name in (files[0], files[2]))
    assert np.abs(dark[1:].astype(int) - bright[1:] // 4).max() <= 1


class Tags(HTMLParser):
    """The tags of a page, with the attributes that each has, and the files that it shows."""

    def __init__(self):
        super().__init__()
        self.attributes = {}
        self.sources = []

    def handle_starttag(self, tag, attrs):
        self.attributes.setdefault(tag, set()).update(name for name, _ in attrs)
        self.sources += [value for name, value in attrs if name == "src"]


def test_images_that_left_the_context_stay_on_the_page(make_human, tmp_path):
    human, _ = make_human("print(1)\n.\n" * 2, folder=tmp_path)
    begun = [*START, Message.of("assistant", "FIRST")]
    _reply(human, [*begun, Message.of("user", disc("red").retitled("a red disc"))])
    _reply(
        human, [*begun, Message.of("user", "[left out]"), Message.of("assistant", "SECOND"), Message.of("user", "NEW")]
    )
    page = (tmp_path / "conversation.html").read_text()
    assert "001-a-red-disc.png" in page
    assert "[left out]" not in page
    assert [page.count(text) for text in ("THE TASK", "FIRST", "SECOND", "NEW")] == [1, 1, 1, 1]


EVIL = '../../\x1b[31m<script>alert(1)</script>"><img src=x onerror=alert(1)>\u202e\n[LABEL]: x'


def test_hostile_titles_and_texts_reach_neither_terminal_nor_page_nor_file_names(make_human, tmp_path):
    human, out = make_human("images\nprint(1)\n.\n", folder=tmp_path / "kept")
    image = disc("red").retitled(EVIL)
    _reply(
        human, [*START, Message.of("assistant", EVIL), Message.of("user", EVIL, "x" * 50_000, image, EVIL[:50], image)]
    )
    assert "\x1b" not in out.getvalue()
    assert "\u202e" not in out.getvalue()
    assert len(out.getvalue()) < 40_000
    assert [path.suffix for path in tmp_path.iterdir()] == [""]
    page = (tmp_path / "kept" / "conversation.html").read_text()
    assert "\x1b" not in page
    assert "default-src 'none'" in page
    found = Tags()
    found.feed(page)
    assert not {"script", "iframe", "object", "svg"} & set(found.attributes)
    assert found.attributes["img"] == {"src", "alt"}
    assert len(found.sources) == 2
    assert all((tmp_path / "kept" / source).is_file() for source in found.sources)


def test_the_temporary_folder_goes_with_the_run(make_human):
    human, _ = make_human("print(1)\n.\n")
    _reply(human)
    folder = human._gallery.folder
    assert (folder / "conversation.html").exists()
    human._temporary.cleanup()
    assert not folder.exists()


def test_a_folder_that_cannot_be_written_is_named_with_its_option(make_human, tmp_path):
    (tmp_path / "file").write_text("")
    human, _ = make_human("print(1)\n.\n", folder=tmp_path / "file" / "below")
    with pytest.raises(BackboneError, match=r"backbone\.folder"):
        _reply(human)


def test_input_that_is_no_text_is_one_clear_line(make_human, tmp_path):
    (tmp_path / "typed").write_bytes(b"print('\xff')\n.\n")
    human, _ = make_human("")
    with open(tmp_path / "typed", encoding="utf-8") as typed:
        human._terminal._source = typed
        with pytest.raises(BackboneError, match="UTF-8"):
            _reply(human)


def test_a_caption_is_the_line_before_its_image():
    image = disc("red").retitled("red")
    parts = Message.of("user", "Printed:\n3", image, "red: activation 3", image, image, "Notes", "(turn 1)").parts
    assert blocks(parts) == [
        "Printed:\n3",
        [("red", image), ("red: activation 3", image), ("red", image)],
        "Notes",
        "(turn 1)",
    ]


def test_half_blocks_draw_the_pixels_side_by_side():
    wide = Image.from_pixels(np.full((2, 4, 3), (255, 0, 0), np.uint8)).pil()
    tall = Image.from_pixels(np.full((4, 2, 3), (0, 0, 255), np.uint8)).pil()
    lines = HalfBlocks().row([wide, tall]).splitlines()
    plain = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in lines]
    assert len(lines) == HalfBlocks.columns // 2
    assert plain[0] == "▀" * 36 + "  " + "▀" * 18 + " " * 18
    assert plain[-1].startswith(" " * 38 + "▀")
    assert "38;2;255;0;0" in lines[0]
    assert "48;2;0;0;255" in lines[0]
