from __future__ import annotations

import pytest

from streamnb.errors import MissingKeyError, UsageError
from streamnb.redaction import Secret
from streamnb.transport.keys import Keyring

KEY = "canary-0123456789"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY_KEY", f" {KEY}\n")
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)


def test_a_secret_becomes_its_value_with_the_prefix_and_is_remembered_without():
    keys = Keyring("api")
    assert keys.value(Secret("CANARY_KEY", prefix="Bearer ")) == f"Bearer {KEY}"
    assert keys.value(Secret("CANARY_KEY")) == KEY
    assert keys.used == (KEY,)


def test_a_missing_key_names_its_variable_and_the_way_without_one():
    with pytest.raises(MissingKeyError) as caught:
        Keyring("openai_chat").value(Secret("NO_SUCH_KEY"))
    assert str(caught.value) == (
        "openai_chat needs NO_SUCH_KEY in the environment; without a key add --sim (sim=True), "
        "or try: %%chatstream demo"
    )


def test_a_key_that_is_not_required_may_be_missing():
    keys = Keyring("api")
    assert keys.value(Secret("NO_SUCH_KEY", required=False)) is None
    assert keys.used == ()


def test_with_a_dummy_the_users_key_is_never_looked_up():
    keys = Keyring("api", dummy="dummy-key")
    assert keys.value(Secret("CANARY_KEY", prefix="Token ")) == "Token dummy-key"
    assert keys.used == ()  # nothing to scrub: a dummy is no secret


@pytest.mark.parametrize("odd", ["sk-abc…defghijkl", "sk-abc\u200bdef", "sk-abc\r\nX-Evil: 1", "klé-123456"])
def test_what_no_header_can_carry_is_refused_and_not_shown(odd: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CANARY_KEY", odd)
    with pytest.raises(UsageError, match="what CANARY_KEY holds is no key") as caught:
        Keyring("api").value(Secret("CANARY_KEY"))
    assert odd[:4] not in str(caught.value)


def test_a_keyring_shows_nothing():
    keys = Keyring("api")
    keys.value(Secret("CANARY_KEY"))
    assert KEY not in repr(keys)
