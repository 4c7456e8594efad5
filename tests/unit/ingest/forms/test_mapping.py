"""What fields mean, by their names, and what is made of their texts: nothing that the person did not say."""

from __future__ import annotations

import re
import unicodedata
from types import SimpleNamespace
from typing import Literal

import pytest

from services.ingest.domain.forms import mapping
from services.ingest.domain.forms import names as naming
from services.ingest.domain.forms.aliases import ALIASES
from services.ingest.domain.forms.mapping import is_email
from services.ingest.domain.forms.names import folded, meaning
from services.ingest.domain.source import is_field
from tests.unit.ingest.forms.given import event, event_of_fields, hubspot


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("email", "identity.email"),
        ("E-Mail*", "identity.email"),
        ("your-email", "identity.email"),
        ("email-590", "identity.email"),
        ("form_fields[email]", "identity.email"),
        ("0-1/email", "identity.email"),
        ("メールアドレス", "identity.email"),
        ("ﾒｰﾙｱﾄﾞﾚｽ", "identity.email"),
        ("【必須】メールアドレス", "identity.email"),
        ("Ｅメール", "identity.email"),
        ("tel", "identity.phone"),
        ("your-tel", "identity.phone"),
        ("mobilephone", "identity.phone"),
        ("お電話番号", "identity.phone"),
        ("携帯電話", "identity.phone"),
        ("your-name", "person.name"),
        ("お名前（必須）", "person.name"),
        ("氏名", "person.name"),
        ("ご担当者様名", "person.name"),
        ("firstName", "person.first_name"),
        ("wpforms[fields][0][first]", "person.first_name"),
        ("名", "person.first_name"),
        ("姓", "person.last_name"),
        ("last_name", "person.last_name"),
        ("ふりがな", "person.name_kana"),
        ("お名前（フリガナ）", "person.name_kana"),
        ("jobtitle", "person.title"),
        ("お役職", "person.title"),
        ("部署名", "person.department"),
        ("貴社名", "person.company"),
        ("御社名", "person.company"),
        ("会社名・団体名", "person.company"),
        ("0-2/name", "person.company"),
        ("法人番号", "person.corporate_number"),
        ("numemployees", "person.employees"),
        ("0-2/numberofemployees", "person.employees"),
        ("numberofemployees", "person.employees"),
        ("従業員数", "person.employees"),
        ("業種", "person.industry"),
        ("国", "person.country"),
        ("都道府県", "person.region"),
        ("state", "person.region"),
        ("市区町村", "person.city"),
        ("zip", "person.postal_code"),
        ("郵便番号", "person.postal_code"),
        ("お問い合わせ内容", "person.message"),
        ("ご質問・ご要望", "person.message"),
        ("your-message", "person.message"),
        ("メルマガ", "consent.newsletter"),
        ("acceptance-12", "consent.agreement"),
        ("個人情報の取り扱いについて同意する", "consent.agreement"),
        ("email_confirm", None),
        ("メールアドレス（確認用）", None),
        ("input_3", None),
        ("company_size", None),
        ("username", None),
        ("メルマガ配信停止", None),
        ("", None),
    ],
)
def test_names_of_real_pages(name: str, target: str | None) -> None:
    found = meaning(name)
    assert (found.target if found else None) == target


def test_no_name_is_in_the_table_for_two_things() -> None:
    meant: dict[str, str] = {}
    for target, names in ALIASES.items():
        for name in names.split(","):
            assert meant.setdefault(folded(name), target) == target, name
            assert meaning(name.strip()) is not None, name


def test_the_fields_of_our_own_event_are_names_too() -> None:
    """A script that knows our schema uses its words."""
    for target in ALIASES:
        if is_field(target) and not target.startswith("consent."):
            found = meaning(target.partition(".")[2])
            assert found is not None, target
            assert found.target == target


def test_values_are_kept_as_typed_and_trimmed_at_the_ends_only() -> None:
    event = event_of_fields(
        ("メールアドレス", " ｔａｒｏ＠ｅｘａｍｐｌｅ．ｃｏｍ　"),
        ("電話番号", "０３ー１２３４ー５６７８"),
        ("お名前", "　山田　 太郎 "),
        ("フリガナ", "ﾔﾏﾀﾞ ﾀﾛｳ"),
        ("お問い合わせ内容", "一行目\r\n二行目😀\n"),
    )
    assert event["identity"] == {"email": "ｔａｒｏ＠ｅｘａｍｐｌｅ．ｃｏｍ", "phone": "０３ー１２３４ー５６７８"}
    assert event["person"] == {
        "name": "山田　 太郎",
        "name_kana": "ﾔﾏﾀﾞ ﾀﾛｳ",
        "message": "一行目\r\n二行目😀",
    }
    assert event["properties"]["fields"]["お名前"] == "　山田　 太郎 "


def test_one_name_field_stays_one_name_and_two_stay_two() -> None:
    assert event_of_fields(("name", "Mary Ann van der Berg"))["person"] == {"name": "Mary Ann van der Berg"}
    assert event_of_fields(("姓", "山田"), ("名", "太郎"))["person"] == {"last_name": "山田", "first_name": "太郎"}


def test_readings_in_two_fields_are_one_reading() -> None:
    assert event_of_fields(("メイ", "タロウ"), ("セイ", "ヤマダ"))["person"] == {"name_kana": "ヤマダ タロウ"}
    assert event_of_fields(("姓（カナ）", "ヤマダ"))["person"] == {"name_kana": "ヤマダ"}
    assert event_of_fields(("フリガナ", "ヤマダ タロウ"), ("セイ", "x"))["person"] == {"name_kana": "ヤマダ タロウ"}


@pytest.mark.parametrize("order", [1, -1])
def test_a_second_address_to_confirm_the_first_does_not_confuse(order: int) -> None:
    pairs = [("email", "taro@example.com"), ("email_confirm", "tarou@example.com")][::order]
    event = event_of_fields(*pairs)
    assert event["identity"] == {"email": "taro@example.com"}
    assert event["properties"]["fields"]["email_confirm"] == "tarou@example.com"
    assert event_of_fields(*[("email1", "a@example.com"), ("email2", "b@example.com")])["identity"] == {
        "email": "a@example.com"
    }


def test_of_two_addresses_the_one_that_is_an_address_counts() -> None:
    assert event_of_fields(("email", "なし"), ("mail", "a@example.com"))["identity"] == {"email": "a@example.com"}
    assert event_of_fields(("tel", "なし"), ("携帯", "090-1234-5678"))["identity"] == {"phone": "090-1234-5678"}


def test_an_address_in_a_field_without_a_telling_name_is_found_if_it_is_the_only_one() -> None:
    assert event_of_fields(("input_1", "Taro"), ("input_3", "taro@example.com"))["identity"] == {
        "email": "taro@example.com"
    }
    assert "identity" not in event_of_fields(("input_1", "a@example.com"), ("input_3", "b@example.com"))
    assert "identity" not in event_of_fields(("input_1", "write to a@example.com, please"))
    assert "email" not in event_of_fields(("tel", "03-1234-5678"), ("friend", "b@example.com"))["identity"]


@pytest.mark.parametrize(
    ("pairs", "identity"),
    [
        ([("tel1", "03"), ("tel2", "1234"), ("tel3", "5678")], "03-1234-5678"),
        ([("電話番号[]", "０３"), ("電話番号[]", "１２３４"), ("電話番号[]", "５６７８")], "０３-１２３４-５６７８"),
        ([("tel3", "5678"), ("tel1", "03"), ("tel2", "1234")], "03-1234-5678"),
        ([("tel1", "03-1234-5678"), ("tel2", "090-1234-5678")], "03-1234-5678"),
        ([("tel2", "090-1234-5678")], "090-1234-5678"),
    ],
)
def test_a_number_spread_over_boxes_is_put_together(pairs: list[tuple[str, str]], identity: str) -> None:
    assert event_of_fields(*pairs)["identity"] == {"phone": identity}


def test_a_postal_code_in_two_boxes() -> None:
    assert event_of_fields(("zip1", "100"), ("zip2", "0001"))["person"] == {"postal_code": "100-0001"}


@pytest.mark.parametrize(
    ("typed", "number"),
    [
        ("１，２００名", 1200),
        ("1,200", 1200),
        ("50人", 50),
        ("0", 0),
        ("320 employees", 320),
        ("11-50", None),
        ("約100名", None),
        ("100人以上", None),
        ("1,2", None),
        ("1.200", None),
        ("９" * 5000, None),
        ("二十", None),
    ],
)
def test_employees_are_a_number_only_when_plainly_one(typed: str, number: int | None) -> None:
    event = event_of_fields(("従業員数", typed), ("name", "x"))
    assert event["person"].get("employees") == number
    assert event["properties"]["fields"]["従業員数"] == typed


def test_the_sources_own_table_comes_first() -> None:
    own = {
        "q1": "person.company",
        "name": "properties.product",
        "q2": "identity.external_ids.crm",
        "email": "person.message",
    }
    event = event_of_fields(("q1", "例社"), ("name", "Widget"), ("q2", "42"), ("email", "hello"), own_fields=own)
    assert event["person"] == {"company": "例社", "message": "hello"}
    assert event["identity"] == {"external_ids": {"crm": "42"}}
    assert event["properties"]["product"] == "Widget"
    assert event["properties"]["form"] == "contact"


def test_a_field_of_the_source_counts_before_one_known_by_name() -> None:
    event = event_of_fields(("company", "by name"), ("q1", "own"), own_fields={"q1": "person.company"})
    assert event["person"] == {"company": "own"}


def test_several_ticked_boxes_are_one_message_and_a_list() -> None:
    event = event_of_fields(("ご相談内容[]", "価格"), ("ご相談内容[]", "機能"), ("備考", "急ぎ"))
    assert event["person"]["message"] == "価格\n機能"
    assert event["properties"]["fields"] == {"ご相談内容[]": ["価格", "機能"], "備考": "急ぎ"}


def test_an_identifier_that_is_too_long_for_one_stays_among_the_fields() -> None:
    long = "03-1234-5678 " + "平日にお電話ください" * 10
    event = event_of_fields(("電話番号", long), ("email", "a@example.com"))
    assert event["identity"] == {"email": "a@example.com"}
    assert event["properties"]["fields"]["電話番号"] == long


def test_hubspots_tracking_cookie_is_a_visitor_id() -> None:
    """A browser's, not a person's: people share a browser, and have several."""
    sent = hubspot({"email": "a@example.com"}, context={"hutk": "60c2ccdfe4892f0fa0593940b12c11aa"})
    assert event(sent)["identity"]["visitor_id"] == "60c2ccdfe4892f0fa0593940b12c11aa"
    assert event_of_fields(("hubspotutk", "x"), ("_visitor_id", "v-1"))["identity"] == {"visitor_id": "v-1"}


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("a@example.com", True),
        ("ａ＠ｅｘａｍｐｌｅ。ｃｏｍ", True),
        ("a@b.c", True),
        ("a@b..", True),
        ("a@.b.c", True),
        ("a@...", True),
        ("a@..", False),
        ("a@.b", False),
        ("a@b.", False),
        ("a@b", False),
        ("@b.c", False),
        ("a@b@c.d", False),
        ("a@b.c,", False),
        ("a b@c.d", False),
        ("a@" + "." * 318, True),
        ("a@" + "." * 319, False),
    ],
)
def test_what_looks_like_an_address(text: str, is_one: bool) -> None:
    assert is_email(text) is is_one


def test_the_parts_of_an_address_do_not_overlap() -> None:
    """What may stand before the first dot cannot be a dot: else each of `a@....,` is tried as the one that counts."""
    domain = mapping._EMAIL.pattern.partition("[@＠]")[2]
    first, before, dot, rest = re.findall(r"\[[^\]]*\][+*]?", domain)
    assert first + before + dot + rest == domain
    assert not set(before.strip("[]*^")).isdisjoint(".．。")
    assert (first[-1], before[:2], before[-1], dot[-1], rest[-1]) == ("]", "[^", "*", "]", "+")


def test_of_many_texts_with_an_at_sign_none_is_the_one(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def counted(text: str) -> bool:
        asked.append(text)
        return is_email(text)

    monkeypatch.setattr(mapping, "is_email", counted)
    bad = [(f"f{number}", f"a{number}@....,") for number in range(780)]
    address = ("x", "taro@example.com")
    assert "identity" not in event_of_fields(*bad, address)
    assert asked == []
    assert event_of_fields(*bad[:9], address, ("again", address[1]))["identity"] == {"email": "taro@example.com"}
    event_of_fields(*[("email", text) for _, text in bad])
    assert len(asked) == 20


def test_a_character_that_stands_for_many_does_not_make_a_name_long() -> None:
    assert len(folded("\ufdfa" * 256)) <= 256
    assert event_of_fields(("tel1", "\ufdfa" * 1000), ("tel2", "⑩"))["identity"] == {"phone": "⑩"}


def test_a_name_is_folded_once_whatever_it_is_looked_at_for(monkeypatch: pytest.MonkeyPatch) -> None:
    folded_names: list[str] = []

    def normalize(form: Literal["NFKC"], text: str) -> str:
        folded_names.append(text)
        return unicodedata.normalize(form, text)

    monkeypatch.setattr(naming, "unicodedata", SimpleNamespace(normalize=normalize))
    never_seen = [f"\ufdfa a name of this test {number} x" for number in range(20)]
    event_of_fields(*((name, "x") for name in never_seen))
    assert sorted(folded_names) == sorted(never_seen)
