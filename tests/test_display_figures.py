from __future__ import annotations

import math

import pytest

from streamnb.display.figures import count, digits, duration, error_line, figures, missing, rate, summary_line, verdict
from streamnb.display.view import Final
from streamnb.events import Outcome

NAN = math.nan


def line(outcome=Outcome.COMPLETE, **summary) -> str:
    return summary_line(Final("", "", outcome, None, summary, ()))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.15234, "0.152"),
        (0.0612, "0.061"),
        (0.00004, "0.000"),
        (1.4321, "1.43"),
        (41.2, "41.2"),
        (999.6, "1,000"),
        (12345.6, "12,346"),
        (0, "0"),
        (-1.5, "-1.50"),
        (NAN, "\u2013"),
        (math.inf, "\u2013"),
        (None, "\u2013"),
        ("7", "\u2013"),
    ],
)
def test_numbers_have_three_digits_and_a_missing_one_is_a_dash_never_zero(value, shown):
    assert digits(value) == shown


def test_units_stay_away_from_dashes():
    assert (duration(1.5), duration(None)) == ("1.50 s", "\u2013")
    assert (count(1234), count(12.0), count(NAN)) == ("1,234", "12", "\u2013")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0 ms"),
        (0.00214, "2.14 ms"),
        (0.0214, "21.4 ms"),
        (0.1524, "152 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.00 s"),
        (1.0, "1.00 s"),
        (12.34, "12.3 s"),
        (1234.5, "1,234 s"),
        (NAN, "\u2013"),
    ],
)
def test_a_duration_below_a_second_is_in_milliseconds_wherever_it_is_shown(value, shown):
    assert duration(value) == shown


def test_missing_means_none_or_nan_and_nothing_else():
    assert [missing(value) for value in (None, NAN, 0, "", False)] == [True, True, False, False, False]


def test_tokens_per_second_need_the_servers_count():
    assert rate({"tpot_s": 0.025, "rate_per_s": 7.0}) == (40.0, "tokens/s")
    assert rate({"tpot_s": NAN, "rate_per_s": 7.0, "rate_unit": "chunks/s"}) == (7.0, "chunks/s")
    assert rate({"rate_per_s": 7.0, "rate_unit": "tokens/s"}) == (7.0, "tokens/s")
    per_s, unit = rate({})
    assert math.isnan(per_s)
    assert unit == "chunks/s"


def test_the_summary_line_reads_as_in_the_readme():
    shown = line(ttft_s=0.152, e2e_s=1.43, n_chunks=60, rate_per_s=41.2, rate_unit="chunks/s")
    assert shown == "complete \u00b7 TTFT 152 ms \u00b7 total 1.43 s \u00b7 60 chunks \u00b7 41.2 chunks/s"


def test_the_summary_line_leaves_out_what_is_missing():
    assert line(Outcome.CONNECT_ERROR, ttft_s=NAN, n_chunks=None) == "connect error"
    assert line(Outcome.TIMEOUT_FIRST, e2e_s=NAN, close_s=2.5) == "timeout first \u00b7 total 2.50 s"


def test_every_figure_of_the_table_says_what_it_means_and_who_counted():
    table = {figure.label: figure for figure in figures({"tokens_out": 42, "token_source": "server", "tpot_s": 0.1})}
    assert list(table)[-2:] == ["tokens", "tokens/s"]
    assert table["tokens"].meaning.endswith("counted by the server")
    assert table["TTFT"].value == "\u2013"
    assert all(figure.meaning for figure in table.values())
    assert "not a token" in figures({})[-1].meaning


def labels(**summary) -> list[str]:
    return [figure.label for figure in figures(summary)]


def test_the_verdict_is_named_for_what_it_judges_and_stays_away_where_nothing_streamed():
    assert "timing verdict" in labels(ttft_s=0.1, verdict="clean")
    assert "timing verdict" in labels(ttft_s=0.1, verdict="no_stream")  # text came, but as one body
    assert "timing verdict" not in labels(verdict="no_stream")
    assert line(ttft_s=0.1, verdict="buffered").endswith("timing verdict: buffered")
    assert line(ttft_s=0.1, verdict="clean") == "complete \u00b7 TTFT 100 ms"
    assert line(Outcome.COMPLETE, verdict="no_stream") == "complete"


def test_characters_are_those_that_were_streamed():
    (figure,) = [figure for figure in figures({"n_chars": 0}) if "characters" in figure.label]
    assert figure[:2] == ("streamed characters", "0")


def test_only_a_failure_is_called_an_error():
    verdicts = {outcome: verdict(outcome) for outcome in Outcome}
    assert {outcome for outcome, kind in verdicts.items() if kind == "halted"} == {Outcome.STOPPED, Outcome.INTERRUPTED}
    assert {outcome for outcome, kind in verdicts.items() if kind == "ok"} == {o for o in Outcome if o.ok}
    lines = [
        error_line(Final("", "", outcome, error, {}, ()))
        for outcome, error in (
            (Outcome.TRUNCATED, "cut"),
            (Outcome.STOPPED, "stopped; what arrived is kept."),
            (Outcome.COMPLETE, None),
        )
    ]
    assert lines == ["error: cut", "stopped; what arrived is kept.", ""]
