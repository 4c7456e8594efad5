"""`routing.yaml`: which pool, and what is wrong with the file."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.routing.domain.rules import RuleFacts, RulesError, parse_rules, route
from services.routing.settings import DEFAULT

FILE = """\
pools:
  enterprise:
    members:
      - {rep: sato, weight: 3}
      - {rep: suzuki}
  sales:
reps:
  - {id: sato, name: Sato Hanako, email: sato@example.com, capacity: 20}
  - {id: suzuki, name: Suzuki Ichiro, capacity: 10}
rules:
  - rule: large in Japan
    pool: enterprise
    when:
      - {field: employees, at_least: 300}
      - {field: country, any_of: [JP, Norway, "NO"]}
  - rule: hot
    pool: enterprise
    when: [{field: score, at_least: 90}, {field: origin, contains: [webinar]}]
  - rule: everyone
    pool: sales
"""


def chosen(**facts: str | int | None) -> str:
    return route(parse_rules(FILE, "routing.yaml"), facts).rule


@pytest.mark.parametrize(
    ("facts", "rule"),
    [
        ({"employees": 300, "country": "jp"}, "large in Japan"),
        ({"employees": 300, "country": "ＪＰ"}, "large in Japan"),
        ({"employees": 300, "country": "NO"}, "large in Japan"),
        ({"employees": 299, "country": "JP"}, "everyone"),
        ({"employees": 300}, "everyone"),
        ({"score": 90, "origin": "Spring WEBINAR"}, "hot"),
        ({"score": 90, "employees": 500, "country": "JP", "origin": "webinar"}, "large in Japan"),
        ({}, "everyone"),
    ],
)
def test_the_first_rule_whose_conditions_all_hold_decides(facts: RuleFacts, rule: str) -> None:
    assert chosen(**facts) == rule


@given(st.dictionaries(st.sampled_from(["score", "employees", "country", "origin"]), st.none() | st.integers(0, 999)))
def test_every_lead_has_a_pool(facts: RuleFacts) -> None:
    texts = {key: str(value) if key in ("country", "origin") and value else value for key, value in facts.items()}
    assert chosen(**texts) in ("large in Japan", "hot", "everyone")


def test_what_is_not_given_can_be_asked_for() -> None:
    text = FILE.replace(
        "[{field: score, at_least: 90}, {field: origin, contains: [webinar]}]", "[{field: city, given: false}]"
    )
    rules = parse_rules(text, "routing.yaml")
    assert route(rules, {}).rule == "hot"
    assert route(rules, {"city": ""}).rule == "hot"
    assert route(rules, {"city": "Osaka"}).rule == "everyone"


def test_pools_and_reps_are_read() -> None:
    rules = parse_rules(FILE, "routing.yaml")
    assert [(member.rep, member.weight) for member in rules.pools["enterprise"]] == [("sato", 3), ("suzuki", 1)]
    assert rules.pools["sales"] == ()
    assert [(rep.id, rep.capacity, rep.email) for rep in rules.reps] == [
        ("sato", 20, "sato@example.com"),
        ("suzuki", 10, ""),
    ]


def test_the_version_changes_with_the_file() -> None:
    versions = {parse_rules(text, "routing.yaml").version for text in (FILE, FILE, FILE.replace("300", "301"))}
    assert len(versions) == 2


def test_the_packaged_rules_send_everyone_to_sales() -> None:
    rules = parse_rules(DEFAULT.read_text(encoding="utf-8"), "default.yaml")
    assert (route(rules, {}).pool, rules.pools, rules.reps) == ("sales", {"sales": ()}, ())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("pool: sales\n", "pool: sails\n", "line 20: rules[2].pool: there is no pool 'sails' under `pools`."),
        ("at_least: 300", "at_least: many", "line 14: rules[0].when[0].at_least: Expected `int | null`, got `str`."),
        ("field: country", "field: land", "line 15: rules[0].when[1].field: there is no field 'land'; known are "),
        ('any_of: [JP, Norway, "NO"]', "at_least: 3", "line 15: rules[0].when[1]: at_least and at_most compare"),
        ("at_least: 300", "any_of: [a]", "line 14: rules[0].when[0]: any_of and contains compare texts, and"),
        ("{field: employees, at_least: 300}", "{field: employees}", "line 14: rules[0].when[0]: give a test"),
        ("rule: hot", "rule: everyone", "line 19: rules[2].rule: another rule is called 'everyone'."),
        ("rep: suzuki}", "rep: tanaka}", "line 5: pools.enterprise.members[1].rep: there is no rep 'tanaka'"),
        ("rep: suzuki}", "rep: sato}", "line 5: pools.enterprise.members[1].rep: the rep 'sato' is in this pool"),
        ("id: suzuki", "id: sato", "line 9: reps[1].id: the rep 'sato' stands here a second time."),
        ("capacity: 10", "capacity: -1", "line 9: reps[1].capacity: "),
        ("weight: 3", "weight: 0", "line 4: pools.enterprise.members[0].weight: "),
        ("weight: 3", "wieght: 3", "line 4: pools.enterprise.members[0]: Object contains unknown field `wieght`."),
        ("  - rule: everyone\n    pool: sales\n", "", "line 10: rules: the last rule must have no `when`"),
        ("rules:\n", "rules:\n  - {rule: all, pool: sales}\n", "line 11: rules[0]: without `when` it decides for"),
        ("  sales:\n", "  sales:\n  sales:\n", "line 7: the key 'sales' stands here a second time."),
        ("pools:", "pools: [", "line "),
        ("reps:", "people:", "line 1: Object contains unknown field `people`."),
    ],
)
def test_a_problem_names_file_line_and_key(old: str, new: str, message: str) -> None:
    assert old in FILE
    with pytest.raises(RulesError) as error:
        parse_rules(FILE.replace(old, new, 1), "home/routing.yaml")
    assert str(error.value).startswith("home/routing.yaml, ")
    assert message in str(error.value)
