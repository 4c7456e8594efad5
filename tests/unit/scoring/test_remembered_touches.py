"""What a browser remembers of earlier visits comes with a form and says where the lead came from."""

from __future__ import annotations

import msgspec

from funnel.contracts import Context, LeadEvent, LeadScore, RememberedTouch, Touch, Utm
from tests.support.scoring import Memory, at_minute, default_scorer, event

MAIL = "a@example.com"
FORM = "https://www.example.com/contact"

NEWSLETTER = RememberedTouch(
    at=at_minute(-600),
    page_url="https://www.example.com/blog",
    landing_url="https://www.example.com/blog?utm_source=News&mc_eid=AbC",
    referrer="https://mail.example.com/",
    utm=Utm(source="News"),
    click_ids={"mc_eid": "AbC"},
)
AD = RememberedTouch(
    at=at_minute(-5),
    page_url="https://www.example.com/lp",
    landing_url="https://www.example.com/lp?gclid=XyZ",
    referrer="https://search.example.com/",
    utm=Utm(source="google", medium="cpc"),
    click_ids={"gclid": "XyZ"},
)


def lead_of(*events: LeadEvent) -> LeadScore:
    world = Memory(default_scorer())
    world.apply_each(events)
    return world.only_lead()


def form(
    first: RememberedTouch | None, last: RememberedTouch | None, *, minute: int = 0, event_id: str = "form"
) -> LeadEvent:
    return event(
        "form.submitted", email=MAIL, page=FORM, first_touch=first, last_touch=last, minute=minute, event_id=event_id
    )


def test_the_first_visit_that_the_browser_remembers_is_the_first_touch_with_all_that_it_says() -> None:
    lead = lead_of(form(NEWSLETTER, AD))

    assert lead.first_touch == Touch(
        type="page.viewed",
        occurred_at=at_minute(-600),
        source="test",
        event_id="form",
        page_url="https://www.example.com/blog",
        landing_url="https://www.example.com/blog?utm_source=News&mc_eid=AbC",
        referrer="https://mail.example.com/",
        utm=Utm(source="News"),
        click_ids={"mc_eid": "AbC"},
    )
    assert lead.origin == "News"


def test_the_form_is_the_last_touch_and_says_by_which_visit_it_came() -> None:
    lead = lead_of(form(NEWSLETTER, AD))

    assert lead.last_touch == Touch(
        type="form.submitted",
        occurred_at=at_minute(0),
        source="test",
        event_id="form",
        page_url=FORM,
        landing_url="https://www.example.com/lp?gclid=XyZ",
        referrer="https://search.example.com/",
        utm=Utm(source="google", medium="cpc"),
        click_ids={"gclid": "XyZ"},
    )


def test_an_event_that_says_how_the_visitor_came_is_not_mixed_with_another_visit() -> None:
    last = lead_of(event("form.submitted", email=MAIL, utm_source="partner", last_touch=AD)).last_touch

    assert last is not None
    assert (last.utm, last.click_ids, last.landing_url) == (Utm(source="partner"), None, None)


def test_a_touch_we_saw_ourselves_stays_first_when_it_is_earlier_than_what_the_browser_remembers() -> None:
    click = event("ad.clicked", email=MAIL, minute=-900, utm_source="fair")
    lead = lead_of(click, form(NEWSLETTER, AD))

    assert lead.first_touch is not None
    assert (lead.first_touch.event_id, lead.origin) == (click.event_id, "fair")


def test_an_earlier_memory_in_a_later_form_moves_the_first_touch_back() -> None:
    phone, desk = form(AD, AD, event_id="phone"), form(NEWSLETTER, NEWSLETTER, minute=30, event_id="desk")

    for order in ((phone, desk), (desk, phone)):
        lead = lead_of(*order)
        assert lead.first_touch is not None
        assert lead.last_touch is not None
        assert (lead.first_touch.occurred_at, lead.first_touch.event_id) == (at_minute(-600), "desk")
        assert lead.last_touch.event_id == "desk"
        assert lead.origin == "News"


def test_a_memory_without_a_time_comes_before_the_event_and_after_what_has_a_time() -> None:
    timeless = RememberedTouch(utm=Utm(source="flyer"))

    assert lead_of(form(timeless, None)).origin == "flyer"
    assert lead_of(event("ad.clicked", email=MAIL, minute=-1, utm_source="ads"), form(timeless, None)).origin == "ads"


def test_a_memory_of_the_future_is_as_old_as_its_event() -> None:
    ahead = RememberedTouch(at=at_minute(60), utm=Utm(source="ads"))
    lead = lead_of(form(ahead, None))

    assert lead.first_touch is not None
    assert (lead.first_touch.occurred_at, lead.origin) == (at_minute(0), "ads")


def test_an_empty_memory_is_none() -> None:
    empty = RememberedTouch(utm=Utm(), click_ids={})
    lead = lead_of(form(empty, None))

    assert lead.first_touch is not None
    assert (lead.first_touch.type, lead.origin) == ("form.submitted", "test")


def test_the_landing_page_goes_along_without_any_memory() -> None:
    landing = "https://www.example.com/?utm_source=Yahoo&yclid=YSS.AbC"
    seen = event("form.submitted", email=MAIL)
    lead = lead_of(msgspec.structs.replace(seen, context=Context(page_url=FORM, landing_url=landing)))

    assert lead.first_touch == lead.last_touch
    assert lead.last_touch is not None
    assert (lead.last_touch.page_url, lead.last_touch.landing_url) == (FORM, landing)


def test_what_an_unknown_visitors_browser_remembers_counts_once_they_are_known() -> None:
    visit = event(visitor="v", page=FORM, first_touch=NEWSLETTER, minute=-3)
    lead = lead_of(visit, event("form.submitted", visitor="v", email=MAIL))

    assert lead.first_touch is not None
    assert (lead.first_touch.occurred_at, lead.origin) == (at_minute(-600), "News")


def test_a_memory_is_no_interest_of_its_own() -> None:
    assert lead_of(form(NEWSLETTER, AD)).score == lead_of(form(None, None)).score
