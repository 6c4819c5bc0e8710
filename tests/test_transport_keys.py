from __future__ import annotations

import pytest

from streamnb.errors import MissingKeyError, UsageError
from streamnb.redaction import Secret
from streamnb.transport import keys as module
from streamnb.transport.keys import Keyring

KEY = "canary-0123456789"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY_KEY", f" {KEY}\n")
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    monkeypatch.setattr(module, "_held", {})


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


SESSION = Secret("sessionKey", prefix="Bearer ", scope="ada")


def test_what_a_reply_brought_stands_for_its_field_in_this_run_and_is_remembered_for_the_scrubber():
    keys = Keyring("api", host="api.example")
    keys.keep("sessionKey", "s-123456789")
    assert keys.value(Secret("sessionKey", prefix="Token ")) == "Token s-123456789"
    assert keys.used == ("s-123456789",)
    assert module._held == {}  # it has no owner, so it does not outlive the run
    with pytest.raises(MissingKeyError):
        Keyring("api", host="api.example").value(Secret("sessionKey"))


def test_a_credential_with_an_owner_is_there_for_later_runs_and_their_scrubbers():
    Keyring("api", host="api.example").keep("sessionKey", "s-123456789", "ada")
    later = Keyring("api", host="api.example")
    assert later.used == ()
    assert later.value(SESSION) == "Bearer s-123456789"
    assert later.used == ("s-123456789",)


def test_a_credential_goes_to_no_other_host_no_other_owner_and_for_no_other_field():
    Keyring("api", host="api.example").keep("sessionKey", "s-123456789", "ada")
    for host, secret in (
        ("evil.example", SESSION),
        ("api.example:8443", SESSION),
        ("", SESSION),
        ("api.example", Secret("sessionKey", scope="bob")),
        ("api.example", Secret("userKey", scope="ada")),
    ):
        with pytest.raises(MissingKeyError):
            Keyring("api", host=host).value(secret)


def test_a_credential_that_this_process_never_got_is_an_error_that_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("sessionKey", "not-the-one-meant")
    with pytest.raises(MissingKeyError) as caught:
        Keyring("voiceflow", dummy="dummy-key", host="api.example").value(SESSION)
    assert str(caught.value) == (
        "voiceflow: this process does not hold the sessionKey of 'ada': only the process that opened a session has it. "
        "Start a new session (leave the session option out)."
    )


def test_a_newer_credential_replaces_the_older_one():
    keys = Keyring("api", host="api.example")
    keys.keep("sessionKey", "s-old-123456", "ada")
    keys.keep("sessionKey", "s-new-123456", "ada")
    assert Keyring("api", host="api.example").value(SESSION) == "Bearer s-new-123456"


def test_of_a_thousand_owners_and_more_the_longest_unheard_of_are_forgotten():
    keys = Keyring("api", host="api.example")
    for number in range(1000):
        keys.keep("sessionKey", f"s-{number}", f"user-{number}")
    keys.keep("sessionKey", "s-again", "user-0")  # heard of again: it is not the oldest any more
    keys.keep("sessionKey", "s-last", "user-1000")
    later = Keyring("api", host="api.example")
    assert later.value(Secret("sessionKey", scope="user-0")) == "s-again"
    assert later.value(Secret("sessionKey", scope="user-2")) == "s-2"
    assert later.value(Secret("sessionKey", scope="user-1000")) == "s-last"
    with pytest.raises(MissingKeyError):
        later.value(Secret("sessionKey", scope="user-1"))
    assert len(module._held) == 1000
