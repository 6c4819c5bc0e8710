from __future__ import annotations

import pytest

from streamnb.simulator.prose import tokens

WAVE = "\N{WATER WAVE}"


@pytest.mark.parametrize("count", [*range(75), 500, 5001])
def test_exactly_as_many_pieces_come_as_were_asked_for(count):
    pieces = list(tokens(3, count))
    assert len(pieces) == count
    assert all(pieces)


@pytest.mark.parametrize("seed", range(100))
def test_sixty_pieces_hold_all_that_a_renderer_must_cope_with(seed):
    text = "".join(tokens(seed, 60))
    assert text.startswith("## ")
    assert "\n- **" in text
    assert text.count("```") == 2
    assert WAVE in text
    assert any(0x7F < ord(letter) < 0x800 for letter in text)


@pytest.mark.parametrize("seed", range(0, 100, 10))
def test_a_longer_answer_has_a_table_formulas_and_a_quotation(seed):
    text = "".join(tokens(seed, 200))
    assert "|---|---:|" in text
    assert "$v = \\frac{s}{t}$" in text
    assert text.count("$$") == 2
    assert "\n> " in text


def test_the_same_seed_gives_the_same_text_and_another_seed_another():
    assert list(tokens(1, 300)) == list(tokens(1, 300))
    assert list(tokens(1, 60)) != list(tokens(2, 60))


def test_the_text_of_seed_1_is_pinned():
    assert "".join(tokens(1, 60)) == (
        "## Loose threads\n\nThe delta rarely hurries toward the first stone. Each grain it drops there bends it a "
        "little more.\n\n- **roots**: 15 µm\n- sand and silt\n\n```python\nbend = 15 * width  # naïve model\n```\n\n"
        f"Follow the foam. {WAVE}\n\nAlso: leaves, leaves, silt, silt."
    )


def test_a_long_answer_is_made_of_whole_sections_and_ends_with_a_full_stop():
    text = "".join(tokens(7, 2000))
    assert text.count("```") % 2 == 0
    assert text.count("## ") > 30
    assert text.endswith(".")
