from __future__ import annotations

from pathlib import Path

import pytest

from services.scoring.domain.config import ConfigError, parse_config
from services.scoring.settings import DEFAULT, load_config

MINIMAL = """\
stages: {engaged: 1, mql: 50}
grades: {A: 80, B: 20}
engagement:
  cap: 100
  rules:
    - {rule: page, type: page.viewed, points: 1, at_most: 10}
fit:
  cap: 40
  rules:
    - {rule: big, field: employees, at_least: 100, points: 10}
    - {rule: near, field: country, any_of: [JP, NO], points: 5}
"""


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "scoring.yaml")
    return str(caught.value)


def test_the_rules_that_ship_are_valid() -> None:
    config = load_config(Path("/nowhere"))

    assert config.qualified_from == 50
    assert [rule.points for rule in config.engagement_rules if rule.type == "form.submitted"] == [50]


def test_the_rules_in_the_home_folder_win_over_those_that_ship(tmp_path: Path) -> None:
    (tmp_path / "scoring.yaml").write_text(MINIMAL, encoding="utf-8")

    assert len(load_config(tmp_path).engagement_rules) == 1


def test_the_version_follows_the_text() -> None:
    first, same, other = (parse_config(text, "x").version for text in (MINIMAL, MINIMAL, MINIMAL + "# a word\n"))

    assert first == same
    assert first != other


def test_grades_are_tried_from_the_highest_down() -> None:
    assert parse_config(MINIMAL, "x").grades == ((80, "A"), (20, "B"))


def test_norway_is_a_country_and_not_a_no() -> None:
    assert parse_config(MINIMAL, "x").fit_rules[1].any_of == ("JP", "NO")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("points: 1, at", "points: lots, at", "line 6: engagement.rules[0].points: Expected `int`, got `str`."),
        ("points: 10", "points: 5000", "line 10: fit.rules[0].points: Expected `int` <= 1000."),
        ("at_most: 10", "at_least: 10", "line 6: engagement.rules[0].at_least: there is no such setting."),
        ("  cap: 40", "  max: 40", "line 8: fit.max: there is no such setting."),
        ("  cap: 40\n", "", "line 7: fit: Object missing required field `cap`."),
        ("rule: near", "rule: big", "line 11: fit.rules[1].rule: another rule is called 'big'"),
        ("rule: near", "rule: fit cap", "line 11: fit.rules[1].rule: 'fit cap' is a reason the score itself gives."),
        ("field: country", "field: shoe_size", "line 11: fit.rules[1].field: there is no field 'shoe_size'; known are"),
        ("field: country", "field: employees", "line 11: fit.rules[1]: any_of and contains compare texts"),
        ("field: employees", "field: country", "line 10: fit.rules[0]: at_least and at_most compare numbers"),
        ("any_of: [JP, NO], ", "", "line 11: fit.rules[1]: give a condition: any_of"),
        ("NO]", "NO], given: false", "line 11: fit.rules[1].given: a field that is not given meets no other"),
        ("{A: 80, B: 20}", "{A: 80, B: 80}", "line 2: grades: two grades begin at 80."),
        ("{A: 80, B: 20}", "{}", "line 2: grades: name at least one grade."),
        ("{A: 80, B: 20}", "{A: 80, A: 20}", "line 2: the key 'A' stands here a second time."),
        ("mql: 50}", "mql: 50", "line "),
    ],
)  # fmt: skip
def test_a_mistake_is_named_by_file_line_and_key(old: str, new: str, message: str) -> None:
    assert old in MINIMAL
    assert refusal(MINIMAL.replace(old, new)).startswith("scoring.yaml, " + message)


def test_an_empty_file_is_refused() -> None:
    assert refusal("") == "scoring.yaml, line 1: the file is empty."


def test_a_file_in_another_encoding_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "scoring.yaml"
    path.write_bytes("# 営業\n".encode("cp932"))

    with pytest.raises(ConfigError, match=r"scoring\.yaml: the file is not UTF-8"):
        load_config(tmp_path)


def test_the_default_lies_beside_the_service() -> None:
    assert DEFAULT.is_file()
