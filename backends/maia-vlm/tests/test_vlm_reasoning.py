"""Thoughts and remains of chat templates are no part of a reply; what a program prints is."""

import pytest

from maia_core.replies import parse_reply
from maia_vlm import split_reasoning

FENCE = "```"
PROGRAM = f"[CODE]:\n{FENCE}python\ndef run_experiment(system, tools):\n    print(2)\n{FENCE}"
DRAFT = PROGRAM.replace("2", "1")


@pytest.mark.parametrize(
    ("text", "reasoning"),
    [
        (f"{DRAFT}\n</think>\n{PROGRAM}", DRAFT),
        (f"<think>{DRAFT}</think>{PROGRAM}", DRAFT),
        (f"<think>{FENCE}python\nx = (</think>{PROGRAM}", f"{FENCE}python\nx = ("),
        (f"<thinking>hm</thinking>\n{PROGRAM}", "hm"),
        (f"<think>a</think>\n<think>b</think>\n{PROGRAM}", "a\nb"),
        (f"[THINK]hm[/THINK]{PROGRAM}", "hm"),
        (f"◁think▷hm◁/think▷{PROGRAM}", "hm"),
        (
            f"<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>{PROGRAM}<|return|>",
            "hm",
        ),
        (f"analysisWe test.assistantfinal{PROGRAM}", "We test."),
        (f"I test.\n<think>\nhm\n</think>\n{PROGRAM}", "hm"),
        (f"{PROGRAM}<|im_end|>", ""),
        (f"{PROGRAM}<end_code>", ""),
        (f"{PROGRAM}</s><s>[INST] Printed: 2 [/INST] {DRAFT}", ""),
        (f"{PROGRAM}\n<|im_end|>\n<|im_start|>user\nPrinted: 2<|im_end|>\n<|im_start|>assistant\n{DRAFT}", ""),
        (f"<|im_start|>assistant\n{PROGRAM}<|eot_id|>", ""),
        (f"<|start_header_id|>assistant<|end_header_id|>\n\n{PROGRAM}", ""),
        (f"<start_of_turn>model\n{PROGRAM}<end_of_turn>\n<start_of_turn>user\n{DRAFT}", ""),
        (f"[/INST] {PROGRAM}", ""),
        (f"<|im_end|>\n{PROGRAM}", ""),
        (f"{PROGRAM}\n\ndata: [DONE]\n", ""),
    ],
)
def test_the_program_of_a_reply_is_found(text, reasoning):
    thought, reply = split_reasoning(text)
    assert thought == reasoning
    assert parse_reply(reply, ("DESCRIPTION", "LABEL")).program == "def run_experiment(system, tools):\n    print(2)\n"


@pytest.mark.parametrize(
    "text",
    [
        PROGRAM.replace("2", "'</think> <|im_end|> [/INST] </s> <end_code>'"),
        PROGRAM.replace("2", "'<think>hm</think>'"),
        "[DESCRIPTION]: analysis of the final stage of a plant.\n[LABEL]: plants",
        "print('</think>')",
        "",
    ],
)
def test_what_a_program_prints_stays(text):
    assert split_reasoning(text) == ("", text)


def test_a_template_may_open_the_thought():
    assert split_reasoning("hm</think>red", "<|im_start|>assistant\n<think>\n") == ("hm", "red")
    assert split_reasoning("hm", "<|im_start|>assistant\n<think>\n") == ("hm", "")
    assert split_reasoning("hm[/THINK]red", "[THINK]") == ("hm", "red")
    assert split_reasoning("<think>never ends") == ("never ends", "")


@pytest.mark.parametrize("text", ["</think>", "<think>", "<s>", FENCE + "<think>", "</s>", "x</think>" + FENCE])
def test_a_reply_of_nothing_but_tags_is_read_at_once(text):
    split_reasoning(text * 200_000)  # Quadratic work would take hours.


ANSWER = "[DESCRIPTION]: Red discs.\n[LABEL]: red"


@pytest.mark.parametrize(
    "reply",
    [
        f"<answer>\n{ANSWER}\n</answer>",
        f"<answer>{ANSWER}</answer>",
        f"\ufeff{ANSWER}",
        f"{ANSWER}\x00",
        f"{ANSWER}\u202e\u200b",
        f"{ANSWER}<pad><pad>",
        f"{ANSWER}<|fim_pad|>",
        f"{ANSWER}\n</tool_call>",
        f"{ANSWER}\n<|im_start|>user\nAnd the next unit?",
        ANSWER.replace("\n", "\r"),
        ANSWER.replace("\n", "\u2028"),
        ANSWER.replace(" ", "\xa0"),
        "\x1b[1m[DESCRIPTION]:\x1b[0m Red discs.\n\x1b[1m[LABEL]:\x1b[0m red",
    ],
)
def test_an_answer_is_free_of_what_stands_around_it(reply):
    """Tags around an answer, tokens, and characters that nobody sees: each of them was a part of the label."""
    assert split_reasoning(reply) == ("", ANSWER)


@pytest.mark.parametrize("odd", ["\x00", "\u200b", "\ufeff"])
def test_a_program_has_no_characters_that_nobody_sees(odd):
    program = f"[CODE]:\n```python\ndef run_experiment(system, tools):\n\xa0\xa0\xa0\xa0print('</answer>'){odd}\n```"
    text = split_reasoning(program)[1]
    assert text.endswith("    print('</answer>')\n```")
