from __future__ import annotations

import base64
import copy
import itertools
import json
import pickle
import re
import string
import urllib.parse

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamnb.errors import UsageError
from streamnb.redaction import (
    FORM_MIN,
    REQUEST_HEADERS,
    RESPONSE_HEADERS,
    Scrubber,
    Secret,
    _shapes,
    find_fields,
    forms,
    looks_like_key,
    redact_headers,
    redact_json,
    redact_text,
    redact_url,
)

KEY = "sk-proj-aB3/dE+fG=hI~jK9"
AWKWARD = "pa\"ss\\wo<rd>&'+`/é—%"
SESSION = "vfsk-0123456789abcdef"
ALPHABET = "ab/+\"\\<é%=&'"


def masked_whole(data: bytes, secrets: list[str]) -> bytes:
    """The meaning of scrubbing, written down once more: leftmost, then longest, same length."""
    every = sorted({form for secret in secrets for form in forms(secret)}, key=len, reverse=True)
    if not every:
        return data
    return re.sub(b"|".join(map(re.escape, every)), lambda found: b"*" * len(found[0]), data)


def scrub(pieces: list[bytes], secrets: list[str]) -> bytes:
    scrubber = Scrubber(secrets)
    longest = max((len(form) for secret in secrets for form in forms(secret)), default=1)
    out = b""
    for piece in pieces:
        out += scrubber.feed(piece)
        assert scrubber.held < longest
        assert not (piece.endswith((b"\n", b"\r")) and scrubber.held)
    out += scrubber.flush()
    assert scrubber.held == 0
    return out


def cut_at(data: bytes, cuts: list[int]) -> list[bytes]:
    marks = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(marks)]


secrets_strategy = st.lists(st.text(ALPHABET, min_size=1, max_size=14), min_size=1, max_size=3)


@st.composite
def streams(draw):
    """Secrets of a tiny alphabet, so that they overlap, and a stream made of their forms, pieces of them and noise."""
    secrets = draw(secrets_strategy)
    every = [form for secret in secrets for form in forms(secret)] or [b"ab"]
    part = st.builds(lambda form, cut: form[: cut % (len(form) + 1)], st.sampled_from(every), st.integers(0, 99))
    noise = st.sampled_from([b"a", b"b", b"\n", b"\r", b"data: ", b"\xff", "é".encode()])
    data = b"".join(draw(st.lists(st.one_of(st.sampled_from(every), part, noise), max_size=12)))
    return secrets, data, draw(st.lists(st.integers(0, 10_000), max_size=8))


@settings(max_examples=400, deadline=None)
@given(streams())
def test_scrubbing_any_split_equals_masking_the_whole(case):
    secrets, data, cuts = case
    clean = scrub(cut_at(data, cuts), secrets)
    assert clean == masked_whole(data, secrets)
    assert clean == scrub([bytes([byte]) for byte in data], secrets)
    assert len(clean) == len(data)
    assert not [form for secret in secrets for form in forms(secret) if form in clean]


@settings(max_examples=150, deadline=None)
@given(
    st.text(string.printable.replace("\n", "").replace("\r", "") + "éß漢😀\ud800", min_size=12, max_size=40), st.data()
)
def test_every_spelling_of_a_key_is_masked_whatever_stands_around_it(secret, data):
    raw = secret.encode("utf-8", "surrogatepass")
    before, after = data.draw(st.binary(max_size=5)), data.draw(st.binary(max_size=5))
    ways = {
        "raw": raw,
        "url": urllib.parse.quote(raw, safe="").encode(),
        "form": urllib.parse.quote_plus(raw).encode(),
        "json": json.dumps(secret)[1:-1].encode(),
    }
    for name, spelled in ways.items():
        assert scrub([b'{"x":"' + spelled + b'"}\n'], [secret]) == b'{"x":"' + b"*" * len(spelled) + b'"}\n', name
    for encode in (base64.standard_b64encode, base64.urlsafe_b64encode):
        clean = scrub([encode(before + raw + after)], [secret])
        assert clean.count(b"*") >= len(raw) * 8 // 6 - 1
        # what is left of the secret are the bits it shares with its neighbours: less than a character at each end
        assert len(clean.strip(b"=").replace(b"*", b"")) <= (len(before) + len(after)) * 8 // 6 + 3


@pytest.mark.parametrize(
    "spelled",
    [
        b"pa\\\"ss\\\\wo<rd>&'+`\\/\\u00e9\\u2014%",  # PHP
        b"pa\\\"ss\\\\wo\\u003crd\\u003e\\u0026'+`/\xc3\xa9\xe2\x80\x94%",  # Go
        b"pa\\u0022ss\\\\wo\\u003Crd\\u003E\\u0026\\u0027\\u002B\\u0060/\\u00e9\\u2014%",  # .NET
        b"pa%22ss%5cwo%3crd%3e%26%27%2b%60/%c3%a9%e2%80%94%25",  # lower-case escapes, slash kept
    ],
)
def test_other_languages_spellings_are_masked(spelled):
    assert scrub([spelled], [AWKWARD]) == b"*" * len(spelled)


def test_an_echoed_key_split_over_two_reads_never_passes():
    body = b'data: {"error":"Incorrect API key provided: ' + KEY.encode() + b'"}\n\n'
    for cut in range(len(body) + 1):
        clean = scrub([body[:cut], body[cut:]], [KEY])
        assert clean == body.replace(KEY.encode(), b"*" * len(KEY)), cut


def test_only_the_beginning_of_a_secret_is_held_and_the_next_read_releases_it():
    scrubber = Scrubber([KEY])
    assert scrubber.feed(b"data: sk-pro") == b"data: "
    assert scrubber.held == 6
    assert scrubber.feed(b"mise\n") == b"sk-promise\n"
    assert scrubber.held == 0
    assert scrubber.feed(b"the end: sk-proj-aB3") == b"the end: "
    assert scrubber.flush() == b"sk-proj-aB3"
    assert scrubber.flush() == b""


def test_the_longer_of_two_secrets_wins_even_if_it_comes_late():
    short, long = "key-12345", "key-12345-and-more"
    scrubber = Scrubber([short, long])
    assert scrubber.feed(b"key-12345") == b""
    assert scrubber.held == len(short)
    assert scrubber.feed(b"-and-more;") == b"*" * len(long) + b";"
    assert scrubber.feed(b"key-12345") + scrubber.flush() == b"*" * len(short)


def test_a_match_that_crosses_the_beginning_of_another_moves_the_cut_behind_it():
    scrubber = Scrubber(["abcdefghij", "ijklmnopqr"])
    assert scrubber.feed(b"abcdefghij") == b"*" * 10
    assert scrubber.held == 0
    assert scrubber.feed(b"klmnopqr") == b"klmnopqr"
    assert scrubber.feed(b"abcdefghijij") == b"*" * 10
    assert scrubber.feed(b"klmnopqr") == b"*" * 10
    scrubber = Scrubber(["abcdefghij", "ijabmnopqr"])
    assert scrubber.feed(b"abcdefghijab") == b"*" * 10
    assert scrubber.feed(b"cdefghij") == b"*" * 10
    scrubber = Scrubber(["abcdefghij", "ij--mnopqr"])
    assert scrubber.feed(b"abcdefghij--") == b"*" * 10 + b"--"
    scrubber = Scrubber(["abcdefgha"])
    assert scrubber.feed(b"abcdefgha") == b"*" * 9
    assert scrubber.held == 0


def test_a_secret_obtained_on_the_way_is_masked_from_then_on():
    scrubber = Scrubber()
    assert scrubber.feed(SESSION.encode()) == SESSION.encode()
    scrubber.add(SESSION)
    assert scrubber.feed(SESSION.encode()[:9]) == b""
    scrubber.add(KEY)
    assert scrubber.feed(SESSION.encode()[9:] + KEY.encode()) == b"*" * (len(SESSION) + len(KEY))


def test_without_secrets_the_very_same_bytes_object_comes_back():
    data = b"x" * 65536
    assert Scrubber().feed(data) is data
    assert Scrubber(["short"]).feed(data) is data
    assert Scrubber([""]).flush() == b""


def test_forms_are_long_enough_and_hold_no_line_end():
    for secret in (KEY, AWKWARD, "x", "1234567", "12345678"):
        assert all(len(form) >= FORM_MIN and not set(form) & {10, 13} for form in forms(secret))
    assert b"1234567" not in forms("1234567")
    assert b"12345678" in forms("12345678")


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_a_key_with_a_line_end_is_refused_without_showing_it(end):
    with pytest.raises(UsageError, match="line end") as caught:
        Scrubber([KEY + end])
    assert KEY not in str(caught.value)


def test_a_scrubber_shows_and_gives_away_nothing():
    scrubber = Scrubber([KEY])
    scrubber.feed(b"sk-proj-")
    assert repr(scrubber) == f"<Scrubber: {len(forms(KEY))} forms, 8 bytes held>"
    for leak in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="keys"):
            leak(scrubber)


def test_a_64_kib_read_full_of_beginnings_is_scrubbed_in_linear_work():
    secrets = ["a" * 400 + "b", "sk-" + "0123456789abcdef" * 12]
    reads = [b"a" * 65536, b"sk-0123456789abcde" * 3600, (b'data: {"delta":"rivers"}\n\n' * 2600)]
    assert scrub(reads, secrets) == b"".join(reads)


def test_a_secret_is_a_name_and_survives_copies_as_a_name():
    secret = Secret("OPENAI_API_KEY", prefix="Bearer ")
    assert repr(secret) == str(secret) == f"{secret}" == "<secret OPENAI_API_KEY>"
    assert f"{secret:>25}" == "  <secret OPENAI_API_KEY>"
    assert pickle.loads(pickle.dumps(secret)) == copy.deepcopy(secret) == copy.copy(secret) == secret
    assert (secret.env, secret.prefix, secret.required) == ("OPENAI_API_KEY", "Bearer ", True)
    assert not hasattr(secret, "value")


@pytest.mark.parametrize(
    "typed",
    [KEY, "ghp_" + "a1" * 18, "oc_live_abcd1234", "AKIAIOSFODNN7EXAMPLE", "d41d8cd98f00b204e9800998ecf8427e", ""],
)
def test_a_key_given_where_its_name_belongs_is_refused_and_not_echoed(typed):
    with pytest.raises(UsageError, match="name of its environment variable") as caught:
        Secret(typed)
    assert not typed or typed not in str(caught.value)


KEYS = [
    "sk-" + "aB3" * 16,
    "sk-proj-abcDEF",
    "sk-ant-api03-x_y-z",
    "sk-or-v1-0123456789abcdef",
    "AIza" + "Sy-_a" * 7,
    *(f"gh{kind}_" + "aB3d" * 9 for kind in "pousr"),
    "github_pat_11ABCDEFG0_abcdefghijkl",
    "hf_" + "abcdEFGH" * 4,
    *(f"xox{kind}-1234567890-abc" for kind in "abprs"),
    "AKIAIOSFODNN7EXAMPLE",
    "gsk_" + "aB3d" * 13,
    "xai-" + "aB3d" * 20,
    "pplx-" + "aB3d" * 12,
    "nvapi-" + "aB-_" * 16,
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
    "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.",
    "eyJhbGciOiJSU0EtT0FFUCJ9.OKOawDo13gRp2ojaHV7LFpZcgV7T6DVZKTyKOMTYUmKoTCVJRgck.48V1_ALb6US04U3b.5eym8TW_c8SuK0.XFBoMY",
    "oc_live_a1b2c3d4",
    "VF.DM.64f1c0ffee64f1c0ffee64f1.a1B2c3D4e5F6g7H8",
]

ORDINARY = """
    demo openai_chat typebot Why do rivers meander? task-management-system-overview-2024 disk-usage-analysis-20240101
    sk-learn sk-learn-contrib-classification-pipelines scikit-learn sk-SK-ViktoriaNeural risk-free xoxo-love-forever
    gpt-4o-mini-2024-07-18 claude-sonnet-4-5-20250929 gemini-2.5-flash-preview-09-2025 pplx-70b-online
    accounts/fireworks/models/llama-v3p1-405b-instruct meta-llama/Llama-3.3-70B-Instruct-Turbo-Free xai-grok-4-fast
    https://api.openai.com/v1 http://127.0.0.1:8000/~scenario=stall,tokens=20,seed=7/v1 https://user@example.com/
    https://hf.co/HuggingFaceTB/SmolLM2-135M-Instruct hf_hub_download hf_transfer github_pat_ ghp_ AKIA
    eyJ VF.DM. oc_live_ cm9x2ab7q0001 chat_01HZX3V8QK5T7N9W2Y4A6B8C0D 3f2504e0-4f89-11d3-9a0c-0305e82c3301
    64f1c0ffee64f1c0ffee64f1
    da39a3ee5e6b4b0d3255bfef95601890afd80709 --key-env OPENAI_API_KEY --key-env=HF_TOKEN $OPENAI_API_KEY {{key}}
    --param temperature=0.2 --param stop=["</s>"] --session-id cuid2abcdefghijklmnopqrstuvw sk-... a@b.example:8000
"""


@pytest.mark.parametrize("key", KEYS)
def test_a_key_is_spotted_and_masked_wherever_a_word_can_begin(key):
    assert looks_like_key(key)
    for around in ("%s", "--api-key %s x", 'Bearer "%s"', "key=%s&x", "\\n%s", "\\u000a%s", "%%20%s", "'%s'", "x:%s,"):
        text = around % key
        assert looks_like_key(text), text
        assert redact_text(text) == around % "***"


@pytest.mark.parametrize("text", ORDINARY.split())
def test_ordinary_words_names_ids_and_urls_are_no_keys(text):
    assert not looks_like_key(text)
    assert redact_text(text).replace("REDACTED:REDACTED", "user") == text


def test_a_password_in_a_url_counts_as_a_key_and_is_masked_in_text():
    assert looks_like_key("--base-url https://me:hunter2@host/v1")
    assert (
        redact_text("cannot reach 'http://me:hunter2@proxy:80/'.")
        == "cannot reach 'http://REDACTED:REDACTED@proxy:80/'."
    )
    assert redact_text('{"a":"http://h","b":"x@y"}') == '{"a":"http://h","b":"x@y"}'


def test_shapes_are_searched_in_linear_time():
    for unit in ("eyJ-", "eyJaaaaaaaa.", "sk-", "sk-learn-", "xoxa-", "://a:", "%20sk-", "\\neyJ", "AIza-"):
        redact_text(unit * 20_000)  # a quadratic pattern needs minutes for this


def test_given_secrets_are_masked_in_text_in_all_their_forms():
    encoded = base64.b64encode(b"user:" + SESSION.encode()).decode()
    text = f"{SESSION} {urllib.parse.quote(AWKWARD)} {json.dumps(AWKWARD)} {encoded}"
    clean = redact_text(text, [SESSION, AWKWARD])
    assert clean.startswith('*** *** "***" ')
    assert not [form for secret in (SESSION, AWKWARD) for form in forms(secret) if form.decode() in clean]
    assert redact_text("key-12345-and-more", ["key-12345", "key-12345-and-more"]) == "***"
    assert redact_text("a lone \ud83d stays") == "a lone \ud83d stays"


def test_json_is_walked_to_the_last_string_and_left_alone_itself():
    value = {"a": [SESSION, 1, None, True, 2.5], SESSION: ({"b": f"x {KEYS[0]}"},), 3: Secret("NAME")}
    before = copy.deepcopy(value)
    assert redact_json(value, [SESSION]) == {
        "a": ["***", 1, None, True, 2.5],
        "***": [{"b": "x ***"}],
        3: "<secret NAME>",
    }
    assert value == before


def test_headers_keep_their_names_and_only_listed_values():
    sent = [
        ("Accept", "text/event-stream"),
        ("Authorization", Secret("K", "Bearer ")),
        ("X-My-Own", "v"),
        ("Cache-Control", "no-store"),
    ]
    assert redact_headers(sent, REQUEST_HEADERS) == [
        ("Accept", "text/event-stream"),
        ("Authorization", "<redacted>"),
        ("X-My-Own", "<redacted>"),
        ("Cache-Control", "no-store"),
    ]
    got = [
        ("x-ratelimit-remaining", "7"),
        ("Anthropic-RateLimit-Tokens", "8"),
        ("set-cookie", "s=1"),
        ("server", f"x {SESSION} {KEYS[0]}"),
    ]
    assert redact_headers(got, RESPONSE_HEADERS, [SESSION]) == [
        *got[:2],
        ("set-cookie", "<redacted>"),
        ("server", "x *** ***"),
    ]
    assert redact_headers(got, REQUEST_HEADERS)[0] == ("x-ratelimit-remaining", "<redacted>")
    assert redact_headers([("user-agent", "streamnb"), ("content-length", "3")]) == [
        ("user-agent", "streamnb"),
        ("content-length", "3"),
    ]


@pytest.mark.parametrize(
    ("url", "clean"),
    [
        ("https://host/v1/chat?stream=1#part", "https://host/v1/chat?stream=1#part"),
        ("https://host/p?alt=sse&key=abc&x=1", "https://host/p?alt=sse&key=REDACTED&x=1"),
        ("/p?API_KEY=a;Sig=b&X-Amz-Signature=c", "/p?API_KEY=REDACTED;Sig=REDACTED&X-Amz-Signature=REDACTED"),
        ("https://host/?api%5Fkey=a&%6Bey=b", "https://host/?api%5Fkey=REDACTED&%6Bey=REDACTED"),
        ("https://host/?token=a?b=c&d=e", "https://host/?token=REDACTED&d=e"),
        ("https://host/?token=a?key=b&d=e", "https://host/?token=REDACTED&d=e"),
        ("https://host/?next=/x?code=abc", "https://host/?next=/x?code=REDACTED"),
        ("https://host/?keys=a&monkey=b&code", "https://host/?keys=a&monkey=b&code"),
        ("https://host/#access_token=a&state=b", "https://host/#access_token=REDACTED&state=b"),
        ("https://me:pass@host:8000/v1", "https://REDACTED:REDACTED@host:8000/v1"),
        ("https://token@host/@user", "https://REDACTED:REDACTED@host/@user"),
        ("//me:p@ss@host/", "//REDACTED:REDACTED@host/"),
        ("http://me:pa/ss#w?rd@proxy:3128", "http://REDACTED:REDACTED@proxy:3128"),
        ("http://host:80/a@b", "http://host:80/a@b"),
        ("http://[::1]:80/a@b", "http://[::1]:80/a@b"),
        ("http://host/?u=http://a:b@c/", "http://host/?u=http://REDACTED:REDACTED@c/"),
        (f"https://host/{KEYS[0]}/{SESSION}", "https://host/***/***"),
        ("not a url", "not a url"),
        ("", ""),
    ],
)
def test_urls_lose_their_credentials_and_nothing_else(url, clean):
    assert redact_url(url, [SESSION]) == clean


def test_long_hostile_urls_are_read_in_linear_time():
    for unit in ("?a=", "&key=", "//a:x", ";", "%6Bey="):
        redact_url("http://" + unit * 20_000)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b'{"sessionKey":"abc"}', {"sessionKey": "abc"}),
        (b'{"a": {"sessionKey" :\n "a\\"b\\u0041"}}', {"sessionKey": 'a"bA'}),
        (b'{"sessionKey": "half of i', {"sessionKey": "half of i"}),
        (b'{"sessionKey": "half\\', {"sessionKey": "half"}),
        (b'{"sessionKey": "half\\u00', {"sessionKey": "half\\u00"}),
        (b'{"sessionKey": ""}', {}),
        (b'{"sessionKey": 5, "other": "x"}', {}),
        (b'{"sessionKey":"1","sessionKey":"2"}', {"sessionKey": "2"}),
        (b"\xff not JSON", {}),
    ],
)
def test_credentials_in_a_reply_are_found_also_when_it_is_cut(data: bytes, found: dict[str, str]):
    assert find_fields(data, ["sessionKey"]) == found


PIECES = st.sampled_from(
    [
        *("sk-", "sk-ant-", "sk-learn", "AIza", "ghp_", "github_pat_", "hf_", "xoxb-", "AKIA", "gsk_", "xai-", "pplx-"),
        *(
            "nvapi-",
            "oc_live_",
            "VF.DM.",
            "eyJ",
            ".",
            "-",
            "_",
            " ",
            "\\n",
            "\\u00e4",
            "%20",
            "a",
            "Z9",
            "0" * 12,
            "b" * 35,
        ),
    ]
)


@settings(deadline=None, max_examples=400)
@given(st.lists(PIECES, max_size=12).map("".join))
def test_looking_only_where_keys_begin_finds_what_looking_everywhere_finds(text):
    assert _shapes.mask_keys(text, "***") == _shapes.KEY.sub("***", text)
