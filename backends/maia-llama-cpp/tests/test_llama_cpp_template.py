"""Chat templates differ in what they take; every message must reach the model, pictures in their places."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny_gguf

from maia_core.errors import BackboneError, UsageError
from maia_core.types import CallLimits, Message
from maia_llama_cpp.template import NAMES, Template, Turn, choose_template

pytestmark = pytest.mark.usefixtures("llama")

STRINGS = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] + '\n' }}{% endfor %}{{ '<assistant>' }}"
LISTS = """\
{% for m in messages %}<{{ m.role }}>{% for part in m.content | selectattr('type', 'equalto', 'text') %}\
{{ part.text }}{% endfor %}{% endfor %}<assistant>"""
NO_SYSTEM = """\
{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}\
{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}\
{{ raise_exception('Conversation roles must alternate') }}{% endif %}\
<{{ 'model' if m.role == 'assistant' else m.role }}>{{ m.content | trim }}{% endfor %}<model>"""
SILENT_ON_SYSTEM = "{% for m in messages if m.role != 'system' %}<{{ m.role }}>{{ m.content }}{% endfor %}"
DEAF = "{{ messages[-1].content }}"

TALK = [Turn("system", "Rules."), Turn("user", "See [P1] and [P2]."), Turn("assistant", "Seen."), Turn("user", "Now?")]


def template(own: str, chat_format: str = "auto", sees: bool = True) -> Template:
    return choose_template(chat_format, own, bos="<s>", eos="</s>", sees=sees, option="backbone.chat_format")


@pytest.mark.parametrize("source", [STRINGS, LISTS])
def test_texts_are_given_as_the_template_takes_them(source: str) -> None:
    made = template(source)
    assert made.system_role
    assert made.render(TALK).replace("\n", "") == (
        "<system>Rules.<user>See [P1] and [P2].<assistant>Seen.<user>Now?<assistant>"
    )


@pytest.mark.slow
@pytest.mark.parametrize("source", [NO_SYSTEM, SILENT_ON_SYSTEM])
def test_system_text_goes_before_the_first_user_text_where_it_has_no_place(source: str) -> None:
    """One such template refuses, another drops the message without a word."""
    made = template(source)
    assert not made.system_role
    assert made.render(TALK).startswith("<user>Rules.\n\nSee [P1] and [P2].<")
    assert made.render([Turn("system", "Alone.")]).startswith("<user>Alone.")


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(NAMES) - {"auto"}))
def test_every_named_format_keeps_the_conversation(name: str) -> None:
    """Also with an empty reply in it, which some formats take for no message at all."""
    made = template("", name)
    prompt = made.render(TALK)
    places = [prompt.index(text) for text in ("Rules.", "[P1]", "[P2]", "Seen.", "Now?")]
    assert places == sorted(places)
    broken_off = [*TALK[:2], Turn("assistant", ""), TALK[3]]
    emptied = made.render(broken_off)
    assert [emptied.count(text) for text in ("Rules.", "[P1]", "Now?")] == [1, 1, 1]
    assert len(emptied) > len(prompt) - len("Seen.") - 3


def test_llava_files_without_a_template_are_taken_for_vicuna() -> None:
    prompt = template("").render(TALK)
    assert prompt == "Rules. USER: See [P1] and [P2]. ASSISTANT: Seen.</s>USER: Now? ASSISTANT:"


def test_line_ends_of_llama_cpp_pythons_own_templates_survive() -> None:
    """Its formatter drops a line end behind a block, and the last one: turns would run into each other."""
    assert template("", "llava-1-5").render(TALK) == (
        "Rules.\nUSER: See [P1] and [P2].\nASSISTANT: Seen.\nUSER: Now?\nASSISTANT: "
    )
    assert template("", "qwen2.5-vl").render(TALK).endswith("<|im_start|>assistant\n")


def test_handler_brings_a_system_message_where_there_is_none() -> None:
    assert template("", "qwen2.5-vl").render([Turn("user", "?")]).startswith("<|im_start|>system\nYou are")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("own", "chat_format", "sees", "says"),
    [
        (STRINGS, "lava-1-5", True, "Did you mean 'llava-1-5'"),
        ("", "auto", False, "the model's file has no chat template; set it to one of"),
        (DEAF, "auto", True, "the model's chat template loses messages; set chat_format to one of"),
    ],
)
def test_what_cannot_work_is_said(own: str, chat_format: str, sees: bool, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        template(own, chat_format, sees)


HOSTILE = {
    "globals of a class": "{{ cycler.__init__.__globals__.os.system('touch MARK') }}",
    "globals of a function": "{{ raise_exception.__globals__['__builtins__'].open('MARK', 'w') }}",
    "subclasses": "{{ messages.__class__.__mro__[1].__subclasses__()[0] }}",
    "format": "{{ '{0.__class__.__init__.__globals__}'.format(raise_exception) }}",
    "a filter's format": "{{ ('{0.__class__.__init__.__globals__}'|attr('format'))(raise_exception) }}",
    "a map over format": "{{ ['{0.__globals__}']|map('format', raise_exception)|list }}",
    "the environment": "{{ self._TemplateReference__context.environment.loader }}",
    "a file": "{% include '/etc/passwd' %}",
    "an import": "{% import '/etc/passwd' as x %}",
    "a change of the conversation": "{{ messages.append(1) }}",
    "memory": "{{ 'a' * 10**17 }}",
    "a large text by a filter": "{{ 'a'|center(10**10 + (messages|length)) }}",
    "a large text by a method": "{{ 'a'.ljust(10**10 + (messages|length)) }}",
    "one long operation": "{{ (7 + (messages|length)) ** 100000000 > 1 }}",
    "a large range": "{{ range(10**9)|list }}",
    "recursion": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "time": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
}
CONSTANT = {
    "a large number": "{{ 7 ** 100000000 }}",
    "a large number in a branch that is never taken": "{% if false %}{{ 3 ** (7 ** (10 ** 7)) > 1 }}{% endif %}",
    "a large text": "{{ ('a' * 10**10)|length }}",
}
"""Jinja computes constants when it reads a template."""


@pytest.mark.parametrize("attack", CONSTANT.values(), ids=CONSTANT)
def test_a_constant_of_a_template_has_limits(attack: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maia_vlm.template.MAX_SECONDS", 0.5)
    with pytest.raises(UsageError, match=r"the model.s chat template.*: .*; set"):
        choose_template("auto", attack + tiny_gguf.CHATML, bos="", eos="", sees=False, option="x")


def test_a_file_is_loaded_without_its_template(backbone_of: Any, tmp_path: Path) -> None:
    """The binding compiled each template of a file, with its constants, before MAIA knew whether it was needed."""
    file = tiny_gguf.language_model(tmp_path / "broken.gguf", template="{% for")
    backbone = backbone_of(file, chat_format="chatml")
    assert backbone.complete([Message.of("user", "?")], CallLimits(max_output_tokens=2)).usage.output_tokens


HARMLESS = ("strftime_now", "raise_exception", "lipsum", "joiner", "cycler", "namespace", "messages")


@pytest.mark.slow
@pytest.mark.parametrize("attack", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_template_in_a_models_file_does_nothing(
    attack: str, backbone_of: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A template is a program in a file from elsewhere: llama.cpp's binding runs it, in Jinja's sandbox."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("maia_vlm.template.MAX_SECONDS", 0.5)
    mark = tmp_path / "mark"
    source = attack.replace("MARK", str(mark)) + tiny_gguf.CHATML
    file = tiny_gguf.language_model(tmp_path / "hostile.gguf", template=source)
    with pytest.raises(UsageError, match=r"the model's chat template.*: .*; set"):
        backbone_of(file)
    backbone = backbone_of(file, chat_format="chatml")  # The weights may be used without their template.
    assert backbone.complete([Message.of("user", "?")], CallLimits(max_output_tokens=2)).usage.output_tokens
    assert not mark.exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", HARMLESS)
def test_no_name_of_a_template_leads_out_of_it(name: str) -> None:
    reached = (
        f"{name}.__globals__",
        f"{name}.__class__",
        f"{name}|attr('__class__')",
        f"[{name}]|map(attribute='__class__')|list",
    )
    source = "".join(
        f"{{% if ({reach})|string|length > 12 %}}{{{{ raise_exception('out, the {number}.') }}}}{{% endif %}}"
        for number, reach in enumerate(reached)
    )
    assert "Now?" in template(source + STRINGS).render(TALK)


@pytest.mark.slow
def test_a_conversation_that_the_template_refuses_is_said() -> None:
    made = template(NO_SYSTEM)
    with pytest.raises(BackboneError, match="must alternate"):
        made.render([Turn("user", "one"), Turn("user", "two")])


@pytest.mark.slow
def test_a_template_is_tried_out_once_and_a_prompt_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes a process; a sweep makes a backbone for every unit, and a describer asks the same of all images."""
    made = template(LISTS)
    prompt = made.render(TALK)
    monkeypatch.setattr("maia_llama_cpp.template.bounded", None)
    assert template(LISTS).render(list(TALK)) == prompt
    with pytest.raises(BackboneError):
        made.render([*TALK, Turn("assistant", "A new text.")])  # It needs a process, which is taken away here.


@pytest.mark.slow
def test_stops_are_texts() -> None:
    """An end token without text would be found in everything."""
    assert template(STRINGS).stops == ("</s>",)
    made: Any = choose_template("auto", STRINGS, bos="", eos="", sees=True, option="x")
    assert made.stops == ()
