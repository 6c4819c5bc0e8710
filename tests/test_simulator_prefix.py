from __future__ import annotations

import pytest

from streamnb.simulator.pace import Pace
from streamnb.simulator.prefix import OPTIONS, PrefixError, Setup, read
from streamnb.simulator.scenarios import SCENARIOS, Limits


def test_no_option_means_the_defaults():
    assert read("") == Setup(pace=Pace(), scenario="ok", framing=None, at="stream")


def test_every_option_is_read():
    segment = (
        "seed=7,tokens=20,ttft=0.5,gap=1e-3,gap_dist=constant,sigma=0,burst=4,stall_at=3,stall=2,stamps=1,"
        "scenario=http-503,framing=sse,at=start,max_duration=0.3,idle_limit=0.2,ping_every=0.05,max_streams=2"
    )
    assert len(segment.split(",")) == len(OPTIONS)
    pace = Pace(7, 20, 0.5, 0.001, "constant", 0.0, 4, 3, 2.0, 1)
    assert read(segment) == Setup(pace, "http-503", "sse", "start", 0.3, 0.2, 0.05, 2)


def test_the_platforms_own_limits_hold_where_the_base_url_asks_for_no_others():
    own = Limits(total_s=300.0, idle_s=60.0, timed_out=(b"x",), ping_s=10.0)
    assert read("").limits(own) == own
    assert read("max_duration=1,idle_limit=2,ping_every=3").limits(own) == Limits(1.0, 2.0, (b"x",), 3.0)


def test_the_stall_scenario_lies_in_the_middle_unless_told_otherwise():
    assert read("scenario=stall,tokens=20").pace.stall_at == 10
    assert read("scenario=stall,tokens=20,stall_at=2").pace.stall_at == 2
    assert read("scenario=stall").pace.stall == 3.0
    assert read("tokens=20").pace.stall_at == -1


@pytest.mark.parametrize(
    ("segment", "option", "words"),
    [
        ("token=3", "token", "there is no option 'token'. Did you mean tokens?"),
        ("zzz=3", "zzz", "there is no option 'zzz'. Known: at, burst,"),
        ("tokens", "tokens", "write tokens=VALUE, once"),
        ("tokens=1,tokens=2", "tokens", "write tokens=VALUE, once"),
        ("tokens=many", "tokens", "a whole number from 0 to 10000000 is wanted"),
        ("tokens=-1", "tokens", "from 0 to"),
        ("tokens=\u0663", "tokens", "from 0 to"),
        ("tokens=1_0", "tokens", "from 0 to"),
        ("burst=0", "burst", "from 1 to"),
        ("gap=nan", "gap", "a number from 0 to 86400 is wanted"),
        ("gap=inf", "gap", "from 0 to"),
        ("ttft=-1", "ttft", "from 0 to"),
        ("ping_every=0", "ping_every", "a number from 0.001 to 86400 is wanted"),
        ("stamps=2", "stamps", "from 0 to 1"),
        ("gap_dist=normal", "gap_dist", "there is no such value. Did you mean lognormal?"),
        ("framing=raw", "framing", "Known: prefix_lines, raw_text, sse."),
        ("scenario=stal", "scenario", "there is no such scenario. Did you mean stall?"),
        ("scenario=http-<code>", "scenario", "there is no such scenario"),
        ("scenario=http-200", "scenario", "there is no such scenario"),
        ("scenario=", "scenario", "there is no such scenario"),
    ],
)
def test_a_wrong_segment_says_which_option_and_what_is_known(segment, option, words):
    with pytest.raises(PrefixError) as caught:
        read(segment)
    assert caught.value.option == option
    assert words in str(caught.value)


@pytest.mark.parametrize("name", [name for name in SCENARIOS if "<" not in name] + ["http-418", "html-502"])
def test_every_scenario_of_the_table_is_accepted(name):
    assert read(f"scenario={name}").scenario == name
