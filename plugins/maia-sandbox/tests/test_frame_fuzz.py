"""Whatever bytes a worker sends, the host refuses them or answers them; nothing else happens."""

import contextlib
import json
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maia_core.types import ExecutionLimits
from maia_sandbox import frames, values
from maia_sandbox.bridge import Bridge
from maia_sandbox.frames import Violation
from maia_sandbox.testing.sandbox_suite import SuiteHost

plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
tags = st.sampled_from(["i", "r", "t", "d", "f", "s", "x"])
anything = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(tags | st.text(max_size=3), inner, max_size=3)
)
keys = st.sampled_from(["op", "n", "method", "args", "kwargs", "image", "drop", "to", "cut"])
likely = st.sampled_from(
    ["call", "pixels", "clean", "text", "done", "tools.echo", "system.info", "stdout", 1, 0, -1, 2**70]
)
headers = st.fixed_dictionaries(
    {"op": st.sampled_from(["call", "pixels", "clean", "text"]) | anything},
    optional=dict.fromkeys(("n", "image", "to", "method"), likely | anything)
    | {"args": st.lists(anything, max_size=3) | anything, "kwargs": st.dictionaries(st.text(max_size=3), anything)}
    | {"drop": st.lists(likely, max_size=2)},
)


def reader(data):
    position = 0

    def exactly(size):
        nonlocal position
        if len(data) - position < size:
            raise EOFError
        position += size
        return bytearray(data[position - size : position])

    return exactly


@settings(max_examples=200, deadline=None)
@given(headers, st.binary(max_size=40))
def test_any_header_is_refused_or_answered(header, blob):
    bridge = Bridge(ExecutionLimits())
    host = SuiteHost()
    bridge.begin("", host, 1, 1, "")
    with contextlib.suppress(Violation):
        reply = bridge.answer(header, blob)
        assert reply is None or isinstance(frames.read(reader(reply)), tuple)
    assert set(host.asked) <= {"tools.echo", "system.info"}


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200) | st.tuples(st.integers(0, 300), st.integers(0, 300), st.binary(max_size=200)))
def test_any_bytes_are_a_frame_or_refused(data):
    if isinstance(data, tuple):
        data = struct.pack(">II", *data[:2]) + data[2]
    try:
        header, blob = frames.read(reader(data), limit=1000)
    except (Violation, EOFError):
        return
    assert type(header) is dict
    assert type(blob) is bytes


@pytest.mark.parametrize(
    "text",
    [b"[1]", b'"a"', b"nul", b'{"a": NaN}', b"{}{}", b"\xff", b"[" * 100_000, b'{"a":' + b"9" * 5000 + b"}"],
)
def test_headers_that_are_no_json_object_are_refused(text):
    with pytest.raises(Violation):
        frames.read(reader(struct.pack(">II", len(text), 0) + text), limit=1000)


@pytest.mark.parametrize("lengths", [(2**32 - 1, 0), (0, 2**32 - 1), (frames.HEADER_LIMIT + 1, 0), (2, 1001)])
def test_lengths_beyond_the_limit_are_refused_before_any_memory_is_taken(lengths):
    with pytest.raises(Violation, match="bytes"):
        frames.read(reader(struct.pack(">II", *lengths) + b"{}"), limit=1000)


numbers = st.integers(-(2**63) + 1, 2**63 - 1)
crossing = st.recursive(
    st.none() | st.booleans() | numbers | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner)
    ),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(crossing)
def test_values_survive_the_crossing(value):
    def no_other(value, level):
        raise values.Unfit(type(value).__name__)

    frame = frames.pack({"value": values.Encoder(no_other, 50)(value)})
    header, _ = frames.read(reader(frame), limit=0)
    again = values.Decoder(no_other, 50)(header["value"])
    assert json.dumps(again) == json.dumps(value)
    assert repr(again) == repr(value)
