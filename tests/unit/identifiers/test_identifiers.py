from __future__ import annotations

import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import given
from hypothesis import strategies as st

from funnel.identifiers import Identifier, email, external, identifiers, phone


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("Taro.Yamada@Example.COM", "taro.yamada@example.com"),
        ("  a@example.com ", "a@example.com"),
        ("ａ＠ｅｘａｍｐｌｅ．ｃｏｍ", "a@example.com"),
        ("a@xn--wgv71a.jp", "a@日本.jp"),
        ("a@日本.jp", "a@日本.jp"),
        ("taro..yamada@docomo.ne.jp", "taro..yamada@docomo.ne.jp"),
    ],
)
def test_ways_of_writing_an_address_become_one_trusted_text(raw: str, value: str) -> None:
    assert email(raw) == (value, True)


@pytest.mark.parametrize("raw", ["-", "なし", "a@b", "@example.com", "taro@", "taro"])
def test_what_is_no_address_is_kept_but_not_trusted(raw: str) -> None:
    assert email(raw) == (raw, False)


_LOCAL = st.text(alphabet="abcXYZ019._+-!#'\" ", min_size=1, max_size=12)
_DOMAIN = st.text(alphabet="abcXYZ019.-", min_size=1, max_size=12)


@given(st.builds("{}@{}".format, _LOCAL, _DOMAIN))
def test_plain_addresses_become_what_the_validator_makes_of_them(raw: str) -> None:
    try:
        expected = validate_email(raw.strip(), check_deliverability=False).normalized.lower()
    except EmailNotValidError:
        return
    assert email(raw) == (expected, True)


@pytest.mark.parametrize(
    "raw",
    [
        "03-1234-5678",
        "０３－１２３４－５６７８",
        "(03) 1234 5678",
        "+81 3 1234 5678",
        "+81(0)312345678",
        "03-1234-5678 ext. 12",
    ],
)
def test_ways_of_writing_a_number_become_one_trusted_text(raw: str) -> None:
    assert phone(raw) == ("+81312345678", True)


def test_a_number_with_a_country_code_keeps_its_country() -> None:
    assert phone("+1 415 555 2671").value == "+14155552671"


@pytest.mark.parametrize(
    ("raw", "value"), [("-", "-"), ("Ask Me", "ask me"), ("110", "110"), ("0000000000", "+81000000000")]
)
def test_what_is_no_number_in_use_is_kept_but_not_trusted(raw: str, value: str) -> None:
    assert phone(raw) == (value, False)


@given(st.text(max_size=40))
def test_any_text_has_a_form_that_does_not_change_again(raw: str) -> None:
    assert email(email(raw).value).value == email(raw).value
    assert phone(phone(raw).value).value == phone(raw).value


def test_identifiers_come_strongest_first() -> None:
    found = identifiers("A@example.com", "03-1234-5678", {"web": "7", "CRM": "42"}, "v-1")

    assert found == (
        Identifier("email", "a@example.com"),
        Identifier("phone", "+81312345678"),
        Identifier("external", "crm:42"),
        Identifier("external", "web:7"),
        Identifier("visitor", "v-1"),
    )


def test_an_untrusted_number_does_not_identify_a_person_who_gave_an_address() -> None:
    assert identifiers("a@example.com", "-", None, None) == (Identifier("email", "a@example.com"),)


def test_an_untrusted_number_identifies_a_person_who_gave_nothing_else() -> None:
    assert identifiers(None, "-", None, "v") == (Identifier("phone", "-"), Identifier("visitor", "v"))


def test_blank_identifiers_are_none() -> None:
    assert identifiers(" ", "　", {"crm": " "}, "\t") == ()


def test_ids_of_other_systems_keep_their_case() -> None:
    assert external(" CRM ", " aB ") == "crm:aB"
