"""The mappings that come with the product: on invented rows of the form of the public Olist files, and the docs'."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from funnel.importing.mapping import load, read
from funnel.importing.rows import Converter, Item, entries
from funnel.importing.sheet import Sheet

MAPPINGS = Path(__file__).parents[3] / "deploy" / "import"

LEADS = "mql_id;first_contact_date;landing_page_id;origin\nm1;2018.02.01;p1;Paid Search\n"
DEALS = (
    "mql_id;seller_id;sdr_id;sr_id;won_date;business segment;lead type;lead_behaviour_profile;has_company;has_gtin;"
    "average_stock;business_type;declared_product_catalog_size;declared_monthly_revenue\n"
    'm1;s1;d1;r1;2018.05.04 3:00;Pet;online medium;"cat, wolf";TRUE;;20.máj;Reseller;50.0;30000.0\n'
)


def body_of(mapping_name: str, text: str) -> Any:
    mapping = load(MAPPINGS / f"{mapping_name}.yaml", timezone="America/Sao_Paulo")
    sheet = Sheet(io.StringIO(text, newline=""), mapping.delimiter)
    (entry,) = entries(sheet, Converter(mapping, sheet.header))
    assert isinstance(entry, Item)
    return entry.body


def test_an_olist_lead_is_a_form_submitted_on_its_local_day() -> None:
    assert body_of("olist-leads", LEADS) == {
        "event_id": "m1",
        "type": "form.submitted",
        "occurred_at": "2018-02-01T02:00:00Z",  # summer time in São Paulo
        "identity": {"external_ids": {"olist": "m1"}},
        "properties": {"landing_page": "p1", "origin": "Paid Search"},
    }


def test_an_olist_deal_is_won_to_the_minute_with_its_amount_and_repaired_ranges() -> None:
    assert body_of("olist-deals", DEALS) == {
        "event_id": "m1",
        "type": "won",
        "occurred_at": "2018-05-04T06:00:00Z",
        "identity": {"external_ids": {"olist": "m1"}},
        "deal_id": "s1",
        "rep_id": "r1",
        "amount": {"value": "30000", "currency": "BRL"},
        "properties": {
            "sdr": "d1",
            "segment": "Pet",
            "lead_type": "online medium",
            "behaviour_profile": "cat, wolf",
            "has_company": True,
            "average_stock": "5-20",
            "business_type": "Reseller",
            "catalog_size": 50,
        },
    }


def test_the_publishers_own_form_of_the_files_gives_the_same_bodies() -> None:
    leads = "mql_id,first_contact_date,landing_page_id,origin\nm1,2018-02-01,p1,Paid Search\n"
    assert body_of("olist-leads-kaggle", leads) == body_of("olist-leads", LEADS)
    deals = (
        "mql_id,seller_id,sdr_id,sr_id,won_date,business_segment,lead_type,lead_behaviour_profile,has_company,has_gtin,"
        "average_stock,business_type,declared_product_catalog_size,declared_monthly_revenue\n"
        'm1,s1,d1,r1,2018-05-04 03:00:00,Pet,online medium,"cat, wolf",True,,5-20,Reseller,50.0,30000.0\n'
    )
    assert body_of("olist-deals-kaggle", deals) == body_of("olist-deals", DEALS)


def test_the_mapping_shown_in_the_docs_is_one() -> None:
    text = (MAPPINGS.parents[1] / "docs" / "import.md").read_text(encoding="utf-8")
    example = text.partition("```yaml\n")[2].partition("```")[0]
    assert read(example, name="docs/import.md", timezone="Asia/Tokyo").name == "fair-2026"
