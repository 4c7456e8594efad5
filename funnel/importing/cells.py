"""One cell of a spreadsheet export: from text to a value, or a reason why not."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from funnel.importing.fields import CellType

MAX_TEXT = 20_000
"""Characters of one text; ingest takes 64 KiB per event, and a character may need three bytes."""

_TRUE = frozenset({"true", "yes", "y", "1", "t", "on", "はい"})
_FALSE = frozenset({"false", "no", "n", "0", "f", "off", "いいえ"})

_DIRECTIVE = re.compile(r"%(.)")
_DIRECTIVES = frozenset("YymBbdHIMSfpzAaj%")
_CLOCK = frozenset("HI")

_SPREADSHEET_ERROR = re.compile(r"#(REF!|N/A|VALUE!|NAME\?|DIV/0!|NUM!|NULL!|SPILL!|#+)", re.IGNORECASE)
_SHORTENED_NUMBER = re.compile(r"\d([.,]\d+)?E\+\d+", re.IGNORECASE)
_LIKE_A_DATE = re.compile(
    r"\d{1,4}[./-][^\W\d]{3,9}\.?([./-]\d{2,4})?|[^\W\d]{3,9}[./-]\d{1,4}|\d{1,2}月\d{1,2}日|\d{1,2}[./-]\d{1,2}[./-]\d{2,4}"
)
"""What spreadsheets make of "5-20" or "1-5": 20.máj, 05.jan, May-20, 1月5日, 05/20/2026."""

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(E[+-]?\d{1,3})?", re.IGNORECASE)
_UNDECODED = re.compile(r"[\udc80-\udcff\uf8f0-\uf8f3]")
"""Bytes the encoding has no character for: kept aside on reading, and CP932's own four private characters."""


class CellError(ValueError):
    """The cell cannot be used; the message is the reason, in words for the person who repairs the file."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How texts are read: date formats in the order tried, the zone of local times, the marks in numbers."""

    dates: tuple[str, ...]
    zone: ZoneInfo
    decimal: str = "."
    thousands: str | None = None

    def with_dates(self, dates: Sequence[str]) -> Reading:
        """The same with other date formats."""
        return replace(self, dates=tuple(dates))


def clean(text: str) -> str:
    """The text without the spaces around it (full-width ones too).

    Raises CellError for what nobody could use: undecodable bytes, NUL, a spreadsheet's error.
    """
    stripped = text.strip()
    if _UNDECODED.search(stripped):
        raise CellError("holds bytes that are no characters in this encoding")
    if "\x00" in stripped:
        raise CellError("holds a NUL character")
    if _SPREADSHEET_ERROR.fullmatch(stripped):
        raise CellError(f"{stripped!r} is a spreadsheet's error, not a value")
    if len(stripped) > MAX_TEXT:
        raise CellError(f"is {len(stripped)} characters long; at most {MAX_TEXT} are taken")
    return stripped


def check_identifier(text: str) -> None:
    """Refuse an identifier that a spreadsheet has shortened: different ids would become the same one.

    Raises CellError.
    """
    if _SHORTENED_NUMBER.fullmatch(text):
        raise CellError(f"{text!r} is a number a spreadsheet has shortened; export the column as text")


def convert(text: str, type_: CellType, reading: Reading) -> object:
    """The value of a clean, non-empty `text`. Raises CellError."""
    if type_ is CellType.TEXT:
        return text
    if type_ is CellType.TIME:
        return instant(text, reading)
    plain = unicodedata.normalize("NFKC", text).strip()
    if type_ is CellType.BOOLEAN:
        return _boolean(plain, text)
    number = _number(plain, text, reading)
    if type_ is CellType.MONEY:
        if number < 0:
            raise CellError(f"{text!r} is negative; an amount is not")
        return _shortest(number)
    if type_ is CellType.INTEGER:
        if number != number.to_integral_value():
            raise CellError(f"{text!r} is not a whole number")
        return int(number)
    return int(number) if number == number.to_integral_value() else float(number)


def instant(text: str, reading: Reading) -> str:
    """A date or time of the file as an RFC 3339 time in UTC.

    A date without a time is the first moment of that day in the reading's zone. A local time that a clock
    change skips is read with the offset from before the change; of one it repeats the earlier is meant.
    Raises CellError.
    """
    plain = unicodedata.normalize("NFKC", text).strip()
    for each in reading.dates:
        moment = _parse(plain, each)
        if moment is None:
            continue
        aware = moment if moment.tzinfo else moment.replace(tzinfo=reading.zone)
        try:
            return aware.astimezone(UTC).isoformat().replace("+00:00", "Z")
        except OverflowError:
            break
    raise CellError(f"{text!r} is not a date written as {' or '.join(map(_readable, reading.dates))}")


def check_date_format(text: str) -> str | None:
    """Why `text` is no date format, or None: it is `iso` or a strptime format giving year, month and day."""
    if text == "iso":
        return None
    used = _DIRECTIVE.findall(text)
    unknown = [each for each in used if each not in _DIRECTIVES]
    if unknown or "%" in _DIRECTIVE.sub("", text):
        return f"{text!r} is not a date format; use 'iso' or one like '%Y.%m.%d %H:%M'"
    if not {"Y", "y"} & set(used) or not {"m", "b", "B"} & set(used) or "d" not in used:
        return f"{text!r} does not give year, month and day"
    if "M" in used and not _CLOCK & set(used):
        return f"{text!r} gives minutes without hours; a month is %m"
    return None


def _parse(text: str, form: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if form == "iso" else datetime.strptime(text, form)  # noqa: DTZ007
    except ValueError:
        return None


def _readable(form: str) -> str:
    if form == "iso":
        return "2018-05-31[T09:30]"
    return datetime(2018, 5, 31, 9, 30, tzinfo=UTC).strftime(form)


def _boolean(plain: str, text: str) -> bool:
    lower = plain.casefold()
    if lower in _TRUE:
        return True
    if lower in _FALSE:
        return False
    raise CellError(f"{text!r} is neither yes nor no; say what it means under 'map'")


def _number(plain: str, text: str, reading: Reading) -> Decimal:
    if _LIKE_A_DATE.fullmatch(plain):
        raise CellError(f"{text!r} is no number; a spreadsheet may have made a date of it, see 'map'")
    digits = plain
    if reading.thousands and reading.thousands in plain:
        whole, mark, fraction = plain.partition(reading.decimal)
        groups = whole.lstrip("+-").split(reading.thousands)
        if not 1 <= len(groups[0]) <= 3 or any(len(group) != 3 for group in groups[1:]):
            raise CellError(f"{text!r} has its thousands mark {reading.thousands!r} in the wrong place")
        digits = whole.replace(reading.thousands, "") + mark + fraction
    if reading.decimal != ".":
        digits = digits.replace(".", "?").replace(reading.decimal, ".")
    if not _NUMBER.fullmatch(digits):
        raise CellError(f"{text!r} is not a number")
    number = Decimal(digits)
    if number.adjusted() > _MAX_EXPONENT:
        raise CellError(f"{text!r} is too large a number")
    return number


_MAX_EXPONENT = 17
"""Numbers below 10^18 fit a 64-bit integer."""


def _shortest(number: Decimal) -> str:
    """`number` without an exponent and without zeros behind the decimal mark: 180000.0 -> 180000."""
    text = format(number, "f")
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"
