from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.scoring.domain.config import parse_config
from services.scoring.domain.score import Score, Scorer

RULES = """\
stages: {engaged: 1, mql: 50}
grades: {A: 80, B: 50, C: 20}
engagement:
  cap: 60
  rules:
    - {rule: page, type: page.viewed, points: 1, at_most: 10}
    - {rule: pricing, type: page.viewed, page: "*/pricing*", points: 5}
    - {rule: form, type: form.submitted, points: 50}
fit:
  cap: 20
  rules:
    - {rule: big, field: employees, at_least: 100, at_most: 5000, points: 15}
    - {rule: manager, field: title, contains: [Director, 部長], points: 10}
    - {rule: home, field: country, any_of: [jp, tw], points: 5}
    - {rule: company, field: company, given: true, points: 1}
    - {rule: nobody, field: company, given: false, points: -30}
"""
SCORER = Scorer(parse_config(RULES, "test"))


def reasons(score: Score) -> dict[str, int]:
    return {reason.rule: reason.points for reason in score.reasons}


def test_a_touch_counts_for_every_rule_it_matches() -> None:
    assert SCORER.matches("page.viewed", "https://example.com/Pricing?plan=2") == ("page", "pricing")
    assert SCORER.matches("page.viewed", "https://example.com/blog") == ("page",)
    assert SCORER.matches("page.viewed", None) == ("page",)
    assert SCORER.matches("something.else", None) == ()


def test_a_rule_counts_at_most_as_often_as_it_says() -> None:
    assert reasons(SCORER.score({"company": "x"}, {"page": 500})) == {"page": 10, "company": 1}


def test_more_than_the_cap_of_a_group_is_taken_off_visibly() -> None:
    fields = {"company": "x", "employees": 300, "title": "Sales director", "country": "JP"}
    score = SCORER.score(fields, {"form": 3})

    assert (score.total, score.fit, score.engagement) == (80, 20, 60)
    assert reasons(score)["engagement cap"] == 60 - 150
    assert reasons(score)["fit cap"] == 20 - 31


def test_a_score_is_never_below_zero() -> None:
    score = SCORER.score({}, {"page": 3})

    assert (score.total, score.fit, score.engagement) == (0, -3, 3)
    assert reasons(score) == {"page": 3, "nobody": -30, "floor at zero": 27}


def test_texts_are_compared_without_case_and_width() -> None:
    full_width = SCORER.score({"company": "x", "title": "ＤＩＲＥＣＴＯＲ", "country": "ＪＰ"}, {})
    assert reasons(full_width) == {"manager": 10, "home": 5, "company": 1}


def test_a_range_has_both_ends_in_it() -> None:
    inside = [n for n in (99, 100, 5000, 5001) if "big" in reasons(SCORER.score({"employees": n}, {}))]
    assert inside == [100, 5000]


def test_the_grade_is_the_highest_band_reached() -> None:
    assert [SCORER.grade(total) for total in (100, 80, 79, 50, 20, 19)] == ["A", "A", "B", "B", "C", None]


_FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "employees": st.integers(0, 10_000),
        "title": st.sampled_from(["部長", "director", "engineer"]),
        "country": st.sampled_from(["JP", "US"]),
        "company": st.just("x"),
    },
)
_COUNTS = st.dictionaries(st.sampled_from(["page", "pricing", "form"]), st.integers(0, 200))


@given(_FIELDS, _COUNTS)
def test_the_reasons_add_up_to_the_score(fields: dict[str, Any], counts: dict[str, int]) -> None:
    score = SCORER.score(fields, counts)

    assert sum(reason.points for reason in score.reasons) == score.total == score.fit + score.engagement
    assert 0 <= score.total <= 60 + 20
    assert len(reasons(score)) == len(score.reasons)
