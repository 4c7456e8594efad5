"""Invented people of invented companies, with addresses and numbers that cannot belong to anybody.

Addresses are below example.com and example.jp. Western numbers come from the ranges set aside for fiction (555-01xx,
020 7946 0xxx); Japan has none, so its people have numbers of 020, which machines have and people cannot call.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class Company:
    """An invented company."""

    name: str
    domain: str
    employees: int
    industry: str
    country: str


@dataclass(frozen=True, slots=True)
class Person:
    """An invented person. `phone_again` is the same number as they would write it another time."""

    number: int
    name: str
    name_kana: str | None
    email: str
    phone: str | None
    phone_again: str | None
    title: str
    department: str
    company: Company


JAPANESE_COMPANIES: Sequence[Company] = (
    Company("北野電機株式会社", "kitano-denki.example.jp", 1800, "電機", "JP"),
    Company("青葉精工株式会社", "aoba-seiko.example.jp", 240, "精密機器", "JP"),
    Company("白石物流株式会社", "shiraishi-butsuryu.example.jp", 620, "物流", "JP"),
    Company("深山食品株式会社", "miyama-shokuhin.example.jp", 85, "食品", "JP"),
    Company("朝霧システム合同会社", "asagiri-sys.example.jp", 34, "情報通信", "JP"),
    Company("高嶺建設株式会社", "takane-kensetsu.example.jp", 410, "建設", "JP"),
    Company("蒼井印刷有限会社", "aoi-insatsu.example.jp", 18, "印刷", "JP"),
)
WESTERN_COMPANIES: Sequence[Company] = (
    Company("Calder Freight", "calder-freight.example.com", 950, "Logistics", "GB"),
    Company("Bluestone Analytics", "bluestone.example.com", 120, "Software", "US"),
    Company("Nordlicht GmbH", "nordlicht-pumpen.example.com", 380, "Machinery", "DE"),
    Company("Maison Verdier", "verdier.example.com", 45, "Retail", "FR"),
    Company("Redwood Dental Group", "redwood-dental.example.com", 27, "Health", "US"),
)

_JAPANESE_FAMILIES = (
    ("佐藤", "サトウ", "sato"),
    ("鈴木", "スズキ", "suzuki"),
    ("高橋", "タカハシ", "takahashi"),
    ("渡辺", "ワタナベ", "watanabe"),
    ("中村", "ナカムラ", "nakamura"),
    ("小林", "コバヤシ", "kobayashi"),
    ("山口", "ヤマグチ", "yamaguchi"),
    ("斎藤", "サイトウ", "saito"),
    ("森", "モリ", "mori"),
    ("長谷川", "ハセガワ", "hasegawa"),
)
_JAPANESE_GIVEN = (
    ("陽菜", "ヒナ", "hina"),
    ("翔太", "ショウタ", "shota"),
    ("美咲", "ミサキ", "misaki"),
    ("健一", "ケンイチ", "kenichi"),
    ("由美子", "ユミコ", "yumiko"),
    ("大輔", "ダイスケ", "daisuke"),
    ("さくら", "サクラ", "sakura"),
    ("拓也", "タクヤ", "takuya"),
)
_WESTERN_FAMILIES = ("Okafor", "Lindqvist", "Moreau", "Delgado", "Whitaker", "Novak", "Schreiber", "O'Connell", "Rossi")
_WESTERN_GIVEN = ("Amelia", "Jonas", "Camille", "Mateo", "Priya", "Henrik", "Grace", "Luca", "Sofía", "Daniel")

_JAPANESE_ROLES = (
    ("代表取締役", "経営"),
    ("部長", "営業部"),
    ("課長", "マーケティング部"),
    ("主任", "購買部"),
    ("担当", "総務部"),
)
_WESTERN_ROLES = (
    ("CEO", "Management"),
    ("Head of Sales", "Sales"),
    ("Marketing Manager", "Marketing"),
    ("Buyer", "Purchasing"),
    ("Office Manager", "Administration"),
)

_AREA_CODES = (202, 212, 312, 415, 503, 617, 702, 206, 303, 404)
_ASCII = str.maketrans({"í": "i", "'": ""})


def people(seed: int, count: int) -> list[Person]:
    """The first `count` people of `seed`; a larger count begins with the same ones."""
    taken: set[str] = set()
    return [_person(seed, number, taken) for number in range(count)]


def _person(seed: int, number: int, taken: set[str]) -> Person:
    random = Random(f"person/{seed}/{number}")  # noqa: S311 - repeatable play, no secret
    japanese = random.random() < 0.6
    company = random.choice(JAPANESE_COMPANIES if japanese else WESTERN_COMPANIES)
    title, department = random.choice(_JAPANESE_ROLES if japanese else _WESTERN_ROLES)
    kana: str | None = None
    if japanese:
        family, family_kana, family_latin = random.choice(_JAPANESE_FAMILIES)
        given, given_kana, given_latin = random.choice(_JAPANESE_GIVEN)
        name, kana = f"{family} {given}", f"{family_kana} {given_kana}"
    else:
        family, given = random.choice(_WESTERN_FAMILIES), random.choice(_WESTERN_GIVEN)
        family_latin, given_latin = family.lower().translate(_ASCII), given.lower().translate(_ASCII)
        name = f"{given} {family}"
    phone, again = _phone(number, company.country)
    email = next(one for one in _addresses(given_latin, family_latin, company.domain) if one not in taken)
    taken.add(email)
    return Person(number, name, kana, email, phone, again, title, department, company)


def _addresses(given: str, family: str, domain: str) -> Iterator[str]:
    yield f"{given}.{family}@{domain}"
    number = 2
    while True:
        yield f"{given}.{family}{number}@{domain}"
        number += 1


def _phone(number: int, country: str) -> tuple[str, str] | tuple[None, None]:
    """A number that is nobody's, in two spellings; None where there is none, or none left."""
    if country == "JP":
        digits = f"{10_000_000 + number:08d}"
        return f"020-{digits[:4]}-{digits[4:]}", f"+81 20 {digits[:4]} {digits[4:]}"
    if country == "GB" and number < 1000:
        return f"+44 20 7946 0{number:03d}", f"+44(0)2079460{number:03d}"
    if country == "US" and number < 100 * len(_AREA_CODES):
        area, last = _AREA_CODES[number // 100], number % 100
        return f"+1 ({area}) 555-01{last:02d}", f"+1{area}55501{last:02d}"
    return None, None
