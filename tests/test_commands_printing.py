from __future__ import annotations

import io
import json
import sys

import pytest

from streamnb.commands.printing import note, say, say_json, size, table, wrapped

ESCAPES = "a\x1b[2Jb\x1b]52;c;AAAA\x07c\x9b31md\re\u202ef"


def test_the_answer_is_on_stdout_and_a_note_on_stderr(capsys: pytest.CaptureFixture[str]):
    say("one", "two")
    note("three")
    assert capsys.readouterr() == ("one\ntwo\n", "three\n")


def test_nothing_that_a_terminal_obeys_is_printed(capsys: pytest.CaptureFixture[str]):
    say(ESCAPES)
    note(ESCAPES)
    say(*table(("x",), [[ESCAPES]]))
    said = capsys.readouterr()
    assert said.err == "abcd\nef\n"
    assert said.out == "abcd\nef\nx\nabcd ef\n"


def test_json_is_one_line_of_ascii_whatever_is_in_it(capsys: pytest.CaptureFixture[str]):
    value = {"text": f"{ESCAPES}\nn\N{DIAERESIS}\ud83d", "n": 1.5, "none": None}
    say_json(value)
    said = capsys.readouterr().out
    assert said.isascii()
    assert said.count("\n") == 1
    assert "\x1b" not in said
    assert json.loads(said) == value


def test_a_missing_number_is_never_written_as_nan():
    with pytest.raises(ValueError, match="JSON compliant"):
        say_json({"ttft_s": float("nan")})


def test_a_pipe_that_knows_ascii_only_gets_what_it_can_take(monkeypatch: pytest.MonkeyPatch):
    bytes_ = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(bytes_, "ascii"))
    say("na\u00efve \N{WATER WAVE}")
    sys.stdout.flush()
    assert bytes_.getvalue() == b"na?ve ?\n"


def test_a_table_has_numbers_at_the_right_and_a_dash_where_nothing_is():
    lines = table(("name", "n", "s"), [("a", 1, 0.25), ("long\nname", 100, None)])
    assert lines == ["name         n      s", "a            1  0.250", "long name  100      \N{EN DASH}"]
    assert table(("name", "n"), []) == ["name  n"]


@pytest.mark.parametrize(
    ("n_bytes", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1 kB"),
        (12_345, "12.3 kB"),
        (999_400, "999 kB"),
        (999_999, "1 MB"),
        (5_000_000_000, "5 GB"),
        (5_000_000_000_000, "5000 GB"),
    ],
)
def test_a_size_has_three_digits_and_a_unit(n_bytes: int, words: str):
    assert size(n_bytes) == words


def test_a_paragraph_is_wrapped_at_eighty_columns_and_keeps_flags_whole():
    lines = wrapped("go on with --search-session " * 8, 4)
    assert all(len(line) < 80 and line.startswith("    ") for line in lines)
    assert "".join(lines).count("--search-session") == 8
