from __future__ import annotations

from streamnb.display.markdown._work import BUDGET, Work


def spent(work: Work) -> float:
    return BUDGET - work.left


def test_what_costs_more_than_is_left_is_not_paid():
    work = Work(left=10.0)
    assert not work.spend(11)
    assert work.spend(10)
    assert work.left == 0


def test_lines_cost_more_inside_quotes():
    plain, quoted = Work(bare="a\n" * 100), Work(bare=">>> a\n" * 100)
    assert plain.structure()
    assert quoted.structure()
    assert spent(quoted) > spent(plain) + 100


def test_a_line_that_may_be_a_rule_costs_its_marks():
    words, marks = Work(bare="ab" * 1000), Work(bare="* " * 1000)
    assert words.structure()
    assert marks.structure()
    assert spent(marks) > 10 * spent(words)


def test_a_text_costs_its_length_and_more_for_signs():
    words, signs, stars = Work(), Work(), Work()
    assert words.text("a" * 1000)
    assert signs.text("[" * 1000)
    assert stars.text("*" * 1000)
    assert spent(words) < spent(signs) < spent(stars)


def test_a_search_that_was_made_is_paid_even_when_nothing_is_left():
    work = Work(left=1.0)
    work.search(1000)
    assert work.left < 0
    before = work.left
    work.link()
    assert work.left < before


def test_tables_and_formulas_have_an_end():
    work = Work()
    assert work.cells(1000)
    assert not work.cells(10_000)
    assert work.formula(1000)
    assert not work.formula(100_000)
