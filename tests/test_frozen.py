from __future__ import annotations

import copy
import dataclasses
import pickle

import pytest

from streamnb.events import Arrival, Chunk, Event, Prompt
from streamnb.frozen import maker
from streamnb.wire import Frame

VALUES = [
    (Event, ("delta", "a", 1), {"flags": frozenset({"late"})}),
    (Event, ("ping",), {}),
    (Frame, ("a",), {"raw": b"a", "value": [1]}),
    (Chunk, (0, 0, 1, 2, 3, b"ab"), {}),
    (Arrival, (Chunk(0, 0, 1, 2, 3, b"ab"),), {"events": (Event("ping"),)}),
    (Prompt, ("hello",), {"take": 3}),
]


@pytest.mark.parametrize(("kind", "given", "named"), VALUES)
def test_what_is_made_quickly_is_the_same_value_in_every_respect(kind, given, named):
    quick, plain = maker(kind)(*given, **named), kind(*given, **named)
    assert type(quick) is kind
    assert (quick, repr(quick)) == (plain, repr(plain))
    assert dataclasses.replace(quick) == plain
    assert copy.copy(quick) == copy.deepcopy(quick) == pickle.loads(pickle.dumps(quick)) == plain
    field = dataclasses.fields(kind)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(quick, field, None)
    with pytest.raises(dataclasses.FrozenInstanceError):
        delattr(quick, field)


def test_a_value_made_quickly_matches_by_position_and_can_be_a_key():
    match maker(Event)("delta", "a"):
        case Event("delta", text):
            assert text == "a"
    assert {maker(Event)("ping"): 1}[Event("ping")] == 1


def test_what_has_no_default_must_be_given():
    with pytest.raises(TypeError, match="missing"):
        maker(Event)()
    with pytest.raises(TypeError, match="unexpected"):
        maker(Event)("ping", colour="red")


def test_each_value_has_its_own_empty_mapping():
    one, other = maker(Prompt)(), maker(Prompt)()
    assert one.params == {}
    assert one.params is not other.params
