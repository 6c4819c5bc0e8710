from __future__ import annotations

import re

import pytest

from streamnb.tables import COLUMNS, DOC, columns_markdown

CONTRACT = {
    "runs": (
        "run_id provider model target profile started_at outcome error cell_id chat repeat setup_s queued_s ttft_s "
        "ttfa_s ttfr_s e2e_s close_s tpot_s max_gap_s n_chunks n_events n_bytes n_chars tokens_in tokens_out "
        "token_source stamp_source"
    ),
    "calls": "run_id n name status dns_s connect_s tls_s sent_s headers_s first_byte_s reused",
    "chunks": "run_id seq call t_ns t_s n_bytes wire_bytes data n_frames n_events stamp_source server_t_ns",
    "events": "run_id seq chunk_seq call t_ns t_s kind text choice name id data coalesced flags",
    "citations": "run_id seq t_s id title url source_type at_char",
    "stalls": "run_id start_s length_s after_seq recovered",
}

APPENDED = {  # after the contract's: columns are added at the end, and none is renamed
    "runs": ["verdict", "measurement_error_s"],
    "calls": ["transport", "paused_s"],
    "chunks": ["read_ns", "kernel_ns", "client_lag_s"],
    "events": ["server_time", "n_events_in_read"],
    "stalls": ["cause"],
}


@pytest.mark.parametrize("table", CONTRACT)
def test_columns_and_their_order_are_the_contract(table):
    assert list(COLUMNS[table]) == CONTRACT[table].split() + APPENDED.get(table, [])


@pytest.mark.parametrize("table", COLUMNS)
def test_the_markdown_of_a_table_has_one_whole_line_per_column(table):
    lines = columns_markdown(table).splitlines()
    assert len(lines) == 2 + len(COLUMNS[table])
    for line, (name, dtype) in zip(lines[2:], COLUMNS[table].items(), strict=True):
        assert line == f"| `{name}` | {dtype} | {DOC[table][name]} |"
        assert line.count("|") == 4
        assert len(DOC[table][name]) > 5


def test_a_column_with_a_unit_in_its_name_says_it_in_its_meaning():
    for table, columns in DOC.items():
        for name, doc in columns.items():
            unit = name.rsplit("_", 1)[-1]
            if unit in {"s", "ns"} and not name.endswith("per_s"):
                assert re.search(rf"[( ]{unit}( from t0)?[);]", doc), (table, name)
