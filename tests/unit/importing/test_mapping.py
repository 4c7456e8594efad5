"""Mapping files: what they say, and errors that name file, line and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from funnel.importing.fields import CellType, Kind
from funnel.importing.mapping import ImportMapping, MappingError, Target, load, read
from funnel.importing.mapping import Mode as MappingMode

GOOD = """\
name: fair-2026
kind: events
mode: history
delimiter: ";"
encoding: cp932
timezone: Europe/Lisbon
dates: ["%d.%m.%Y"]
id: [Fair, Badge]
empty: [Select, "-"]
constants:
  type: form.submitted
  consent.marketing: yes
columns:
  Day: occurred_at
  Mail: identity.email
  Badge: [identity.external_ids.fair, properties.badge]
  Staff: person.employees
  Interested:
    to: properties.interested
    as: boolean
    map: {No: no, Yes: yes, Perhaps: ~}
"""


def mapping_of(text: str, *, mode: MappingMode | None = None) -> ImportMapping:
    return read(text, name="fair.yaml", timezone="Asia/Tokyo", mode=mode)


def problems_of(text: str, *, mode: MappingMode | None = None) -> list[str]:
    with pytest.raises(MappingError) as caught:
        mapping_of(text, mode=mode)
    return list(caught.value.problems)


def changed(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


def test_a_mapping_says_what_becomes_of_each_column() -> None:
    mapping = mapping_of(GOOD)
    assert (mapping.name, mapping.kind, mapping.mode) == ("fair-2026", Kind.EVENTS, "history")
    assert (mapping.delimiter, mapping.encoding, mapping.zone.key) == (";", "cp932", "Europe/Lisbon")
    assert mapping.id_columns == ("Fair", "Badge")
    assert mapping.empty == {"", "Select", "-"}
    assert mapping.constants == ((("type",), "form.submitted"), (("consent", "marketing"), True))
    targets = {column.name: column.targets for column in mapping.columns}
    assert targets["Badge"] == (
        Target(("identity", "external_ids", "fair"), CellType.TEXT),
        Target(("properties", "badge"), CellType.TEXT),
    )
    assert targets["Staff"] == (Target(("person", "employees"), CellType.INTEGER),)
    assert mapping.column_names == ("Fair", "Badge", "Day", "Mail", "Staff", "Interested")


def test_words_that_yaml_takes_for_booleans_stay_the_words_of_the_spreadsheet() -> None:
    interested = mapping_of(GOOD).columns[-1]
    assert interested.values == {"No": "no", "Yes": "yes", "Perhaps": None}


def test_the_organisations_zone_and_the_mappings_mode_hold_unless_told_otherwise() -> None:
    assert mapping_of(changed("timezone: Europe/Lisbon\n", "")).zone.key == "Asia/Tokyo"
    assert mapping_of(GOOD, mode="live").mode == "live"


def test_the_digest_changes_with_whatever_changes_the_posts() -> None:
    digest = mapping_of(GOOD).digest
    assert mapping_of(GOOD + "# a remark\n").digest == digest
    assert mapping_of(GOOD, mode="live").digest != digest
    assert mapping_of(changed("Lisbon", "Madrid")).digest != digest
    assert mapping_of(changed("Day: occurred_at", "Date: occurred_at")).digest != digest


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("name: fair-2026", "name: fair 2026", "fair.yaml:1: name: a name begins with a letter or digit"),
        ("name: fair-2026", "name: scoring", "fair.yaml:1: name: 'scoring' is a source of the funnel itself"),
        ("kind: events", "kind: leads", "fair.yaml:2: kind: input should be 'events' or 'outcomes'"),
        ("mode: history", "mode: past", "fair.yaml:3: mode: input should be 'live' or 'history'"),
        ('";"', '";;"', "fair.yaml:4: delimiter: a delimiter is one character"),
        ("cp932", "latin-1", "fair.yaml:5: encoding: 'latin-1' is not read here; use one of utf-8"),
        ("cp932", "cp_932", "fair.yaml:5: encoding: there is no encoding 'cp_932'"),
        ("Europe/Lisbon", "Lisbon", "fair.yaml:6: timezone: there is no time zone 'Lisbon'"),
        ("%d.%m.%Y", "%d.%M.%Y", "fair.yaml:7: dates: '%d.%M.%Y' does not give year, month and day"),
        ("[Fair, Badge]", "[]", "fair.yaml:8: id: list should have at least 1 item"),
        ("consent.marketing: yes", "consent.marketing: si", "fair.yaml:12: constants.consent.marketing: 'si'"),
        ("identity.email", "identiy.email", "events have no field 'identiy.email'; did you mean 'identity.email'"),
        ("Mail: identity.email", "Mail: {too: x}", "fair.yaml:15: columns.Mail.to: this key is missing"),
        ("Mail: identity.email", "Mail: {too: x}", "fair.yaml:15: columns.Mail: there is no such key"),
        ("as: boolean", "as: bool", "fair.yaml:20: columns.Interested.as: input should be 'text', 'integer'"),
        ("person.employees", "properties.badge", "fair.yaml:17: columns.Staff: properties.badge is filled by 'Badge'"),
        ("person.employees", "properties.badge.x", "properties.badge.x is filled by 'Badge' already"),
        ("person.employees", "type", "fair.yaml:11: constants.type: type is filled by 'Staff' already"),
        ("Staff: person.employees", "Staff: {to: person.employees, as: text}", "is always integer, not text"),
        ("  type: form.submitted\n", "", "fair.yaml:1: nothing gives the type"),
        ("  Day: occurred_at\n", "", "fair.yaml:1: history needs the date of each row"),
        ("  Mail: identity.email\n  Badge: [identity.external_ids.fair, ", "  Badge: [", "gives an identifier"),
        ("columns:\n", "colums:\n", "fair.yaml:13: colums: there is no such key in a mapping"),
    ],
)
def test_an_error_names_file_line_and_key(old: str, new: str, problem: str) -> None:
    assert any(problem in found for found in problems_of(changed(old, new)))


def test_every_problem_is_told_at_once() -> None:
    text = changed("cp932", "latin-1").replace("identity.email", "mail").replace("Europe", "Europa")
    assert len(problems_of(text)) == 3


def test_an_amount_needs_its_currency() -> None:
    text = "name: d\nkind: outcomes\nid: a\nconstants: {type: won}\ncolumns: {a: lead_id, b: amount.value}\n"
    assert problems_of(text) == ["fair.yaml:1: amount.value needs amount.currency, as a column or under 'constants'"]


def test_a_key_that_stands_twice_is_an_error_rather_than_the_last_one() -> None:
    assert problems_of(GOOD + "  Day: properties.day\n") == ["fair.yaml:22: the key 'Day' stands here a second time"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "fair.yaml:1: the file is empty"),
        ("- a\n", "fair.yaml:1: a mapping file is a list of 'key: value' lines"),
        ("name: [a\nkind: b\n", "fair.yaml:2: expected ',' or ']'"),
        ("name: x\n  kind: y\n", "fair.yaml:2: mapping values are not allowed here"),
        ("a: &x [*x]\n", "fair.yaml:1: an alias must not contain itself"),
    ],
)
def test_what_is_no_plain_yaml_is_refused_with_its_line(text: str, problem: str) -> None:
    (found,) = problems_of(text)
    assert found.startswith(problem)


def test_a_missing_file_and_one_of_another_encoding_are_one_sentence_each(tmp_path: Path) -> None:
    path = tmp_path / "fair.yaml"
    with pytest.raises(MappingError, match="No such file"):
        load(path, timezone="Asia/Tokyo")
    path.write_bytes("name: 名前".encode("cp932"))
    with pytest.raises(MappingError, match="a mapping file is UTF-8"):
        load(path, timezone="Asia/Tokyo")
