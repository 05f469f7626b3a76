"""Control tokens in texts, whatever they are."""

from hypothesis import given
from hypothesis import strategies as st

from maia_transformers.neutral import Neutral

TOKENS = ["<|im_start|>", "<|im_end|>", "<image>", "</s>", "<s>", "aa", "a·a", "#"]
pieces = st.sampled_from([*TOKENS, "<|im_", "end|>", "<im", "age>", "a", "<", ">", " ", "text", "\ud800"])


@given(st.lists(pieces, max_size=30).map("".join))
def test_no_text_holds_a_control_token(text):
    neutral = Neutral(sorted(TOKENS, key=len, reverse=True))(text)
    assert not any(token in neutral for token in TOKENS)
    neutral.encode()


def test_ordinary_text_stays_as_it_is():
    text = "a < b > c: [3.2, 0.0]\n\tdef run(x): return x | {'image'} # 🐯"
    assert Neutral(["<image>", "<|im_end|>", "</s>"])(text) == text
    assert Neutral([])(text) == text


def test_a_broken_token_can_still_be_read():
    assert Neutral(["<image>"])("prints <image> twice") == "prints < image> twice"
