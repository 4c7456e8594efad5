"""Cells: from text to value, or a reason."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from funnel.importing.cells import (
    CellError,
    Reading,
    check_date_format,
    check_identifier,
    clean,
    convert,
    instant,
)
from funnel.importing.fields import CellType

TOKYO = ZoneInfo("Asia/Tokyo")
SAO_PAULO = ZoneInfo("America/Sao_Paulo")
NEW_YORK = ZoneInfo("America/New_York")


def reading(*dates: str, zone: ZoneInfo = TOKYO, decimal: str = ".", thousands: str | None = None) -> Reading:
    return Reading(dates or ("iso",), zone, decimal, thousands)


def test_a_date_without_a_time_is_midnight_of_the_organisations_zone() -> None:
    assert instant("2018.02.01", reading("%Y.%m.%d")) == "2018-01-31T15:00:00Z"


def test_a_date_in_a_zone_with_summer_time_has_the_offset_of_its_day() -> None:
    assert instant("2018-01-15", reading(zone=NEW_YORK)) == "2018-01-15T05:00:00Z"
    assert instant("2018-07-15", reading(zone=NEW_YORK)) == "2018-07-15T04:00:00Z"


def test_a_midnight_that_summer_time_skips_is_still_on_its_own_day() -> None:
    # São Paulo went from 2017-10-14 23:59:59 straight to 2017-10-15 01:00.
    assert instant("2017.10.15", reading("%Y.%m.%d", zone=SAO_PAULO)) == "2017-10-15T03:00:00Z"


def test_a_time_that_comes_twice_is_the_earlier_of_the_two() -> None:
    assert instant("2018-11-04 01:30", reading(zone=NEW_YORK)) == "2018-11-04T05:30:00Z"


def test_formats_are_tried_in_order_and_hours_need_no_leading_zero() -> None:
    both = reading("%Y.%m.%d %H:%M", "%Y.%m.%d")
    assert instant("2018.05.04 3:00", both) == "2018-05-03T18:00:00Z"
    assert instant("2018.05.04", both) == "2018-05-03T15:00:00Z"


def test_an_offset_in_the_cell_outweighs_the_zone() -> None:
    assert instant("2018-05-04T03:00:00-03:00", reading()) == "2018-05-04T06:00:00Z"


def test_full_width_digits_and_japanese_marks_are_read() -> None:
    assert instant("2018年5月4日", reading("%Y年%m月%d日")) == "2018-05-03T15:00:00Z"
    assert convert("1200", CellType.INTEGER, reading()) == 1200


@pytest.mark.parametrize("text", ["2018.13.01", "2018.02.30", "20.máj", "43221", "tomorrow", "0001-01-01"])
def test_what_is_no_date_is_refused_with_an_example_of_one(text: str) -> None:
    with pytest.raises(CellError, match=r"is not a date written as 2018\.05\.31 or 2018-05-31"):
        instant(text, reading("%Y.%m.%d", "iso"))


@pytest.mark.parametrize("text", ["iso", "%Y.%m.%d", "%d/%m/%y %H:%M:%S", "%d %b %Y", "%Y-%m-%dT%H:%M%z"])
def test_a_usable_date_format_is_accepted(text: str) -> None:
    assert check_date_format(text) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("YYYY-MM-DD", "does not give year, month and day"),
        ("%Y-%m", "does not give year, month and day"),
        ("%Y-%M-%d", "does not give year, month and day"),
        ("%Y-%m-%d %M", "minutes without hours"),
        ("%Y-%m-%d %Q", "is not a date format"),
        ("%Y-%m-%d %", "is not a date format"),
    ],
)
def test_an_unusable_date_format_is_refused_with_the_reason(text: str, reason: str) -> None:
    assert reason in (check_date_format(text) or "")


@pytest.mark.parametrize("text", ["20.máj", "05.jan", "May-20", "1月5日", "05/20/2026"])
def test_a_number_that_a_spreadsheet_made_a_date_of_is_named_as_such(text: str) -> None:
    with pytest.raises(CellError, match="spreadsheet may have made a date of it"):
        convert(text, CellType.INTEGER, reading())


@pytest.mark.parametrize(
    ("text", "decimal", "thousands", "value"),
    [
        ("0.0", ".", None, "0"),
        ("180000.0", ".", None, "180000"),
        ("1,200,000.50", ".", ",", "1200000.5"),
        ("1.200.000,50", ",", ".", "1200000.5"),
        ("1200000", ".", ",", "1200000"),
        ("1e3", ".", None, "1000"),
    ],
)
def test_money_is_kept_as_the_shortest_decimal_text(text: str, decimal: str, thousands: str | None, value: str) -> None:
    assert convert(text, CellType.MONEY, reading(decimal=decimal, thousands=thousands)) == value


@pytest.mark.parametrize(
    ("text", "type_", "reason"),
    [
        ("-5", CellType.MONEY, "negative"),
        ("1,2", CellType.NUMBER, "not a number"),
        ("1_000", CellType.NUMBER, "not a number"),
        ("NaN", CellType.NUMBER, "not a number"),
        ("Infinity", CellType.MONEY, "not a number"),
        ("1e300", CellType.NUMBER, "too large"),
        ("12.5", CellType.INTEGER, "not a whole number"),
        ("maybe", CellType.BOOLEAN, "neither yes nor no"),
    ],
)
def test_what_is_no_value_of_its_type_is_refused_with_the_reason(text: str, type_: CellType, reason: str) -> None:
    with pytest.raises(CellError, match=reason):
        convert(text, type_, reading())


def test_a_decimal_comma_read_as_thousands_is_refused_rather_than_multiplied() -> None:
    with pytest.raises(CellError, match="in the wrong place"):
        convert("12,5", CellType.NUMBER, reading(thousands=","))


def test_a_point_where_the_decimal_mark_is_a_comma_is_refused() -> None:
    with pytest.raises(CellError, match="not a number"):
        convert("1.5", CellType.NUMBER, reading(decimal=","))


def test_numbers_stay_whole_when_they_are() -> None:
    assert convert("100.0", CellType.NUMBER, reading()) == 100
    assert convert("2.5", CellType.NUMBER, reading()) == 2.5


@pytest.mark.parametrize(("text", "value"), [("TRUE", True), ("no", False), ("はい", True), ("0", False)])
def test_yes_and_no_are_read_in_the_usual_spellings(text: str, value: bool) -> None:
    assert convert(text, CellType.BOOLEAN, reading()) is value


def test_cleaning_takes_off_full_width_spaces() -> None:
    assert clean("　山田 太郎　 ") == "山田 太郎"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("#REF!", "spreadsheet's error"),
        ("#N/A", "spreadsheet's error"),
        ("########", "spreadsheet's error"),
        ("a\x00b", "NUL"),
        ("caf\udce9", "no characters in this encoding"),
        ("x" * 20_001, "at most 20000"),
    ],
)
def test_what_nobody_could_use_is_refused(text: str, reason: str) -> None:
    with pytest.raises(CellError, match=reason):
        clean(text)


@pytest.mark.parametrize("text", ["8.19012E+11", "4,5E+10", "1E+05"])
def test_an_identifier_a_spreadsheet_has_shortened_is_refused(text: str) -> None:
    with pytest.raises(CellError, match="shortened"):
        check_identifier(text)


def test_an_identifier_with_an_e_in_it_is_no_shortened_number() -> None:
    check_identifier("5e10ab")
    check_identifier("8e952443b19bfc5d0b90e6c4eabcb8fb")
