"""Consent, channel by channel: a yes is a yes only where it was plainly said, and to what was asked."""

from __future__ import annotations

from typing import Any

import pytest

from services.ingest.domain.forms.consent import answer
from tests.unit.ingest.forms.given import event, event_of_fields, hubspot


def consent(*pairs: tuple[str, str]) -> Any:
    return event_of_fields(("email", "a@example.com"), *pairs).get("consent")


@pytest.mark.parametrize(
    "text",
    [
        "on",
        "true",
        "Yes",
        "1",
        "同意する",
        "同意します",
        "はい",
        "プライバシーポリシーに同意する",
        "希望する",
        "I agree",
        "受け取る",
    ],
)
def test_a_yes(text: str) -> None:
    assert answer(text) is True


@pytest.mark.parametrize(
    "text", ["off", "false", "NO", "0", "同意しない", "いいえ", "希望しません", "不要", "I don't agree"]
)
def test_a_no(text: str) -> None:
    assert answer(text) is False


@pytest.mark.parametrize("text", ["weekly", "-", "✓", "newsletter", "", "yes" * 100])
def test_what_is_neither(text: str) -> None:
    assert answer(text) is None


def test_a_box_that_was_not_ticked_was_not_asked() -> None:
    assert consent() is None
    assert consent(("consent_email", "")) is None


def test_each_channel_stands_for_itself() -> None:
    given = [("consent_email", "yes"), ("consent_phone", "no"), ("consent_sms", "1"), ("marketing", "off")]
    assert consent(*given) == {"marketing": False, "email": True, "phone": False, "sms": True, "basis": "consent"}


@pytest.mark.parametrize("name", ["newsletter", "メルマガ", "LEGAL_CONSENT.subscription_type_12345"])
def test_a_newsletter_is_marketing_by_e_mail(name: str) -> None:
    assert consent((name, "true")) == {"marketing": True, "email": True, "basis": "consent"}


def test_what_is_said_of_e_mail_itself_counts_more_than_a_newsletter() -> None:
    expected = {"marketing": True, "email": False, "basis": "consent"}
    pairs = [("newsletter", "on"), ("consent_email", "no")]
    assert consent(*pairs) == consent(*pairs[::-1]) == expected


@pytest.mark.parametrize(
    "name", ["consent", "agree", "privacy", "同意", "プライバシーポリシー", "acceptance-3", "個人情報の取扱い"]
)
def test_agreeing_to_a_privacy_notice_allows_no_marketing(name: str) -> None:
    assert consent((name, "on")) == {"basis": "consent"}
    assert consent((name, "no")) is None


def test_the_last_word_counts() -> None:
    """Frameworks put a hidden 0 before each checkbox of the same name."""
    assert consent(("consent_email", "0"), ("consent_email", "1")) == {"email": True, "basis": "consent"}


def test_the_words_that_were_shown_are_proof() -> None:
    assert consent(("consent_email", "on"), ("consent_text", "I agree to be written to.")) == {
        "email": True,
        "basis": "consent",
        "text": "I agree to be written to.",
    }


def test_a_source_can_say_what_a_box_asks() -> None:
    own = {"q9": "consent.phone", "q10": "consent.basis", "q11": "consent.at"}
    made = event_of_fields(
        *[("email", "a@example.com"), ("q9", "はい"), ("q10", "whatever"), ("q11", "2026-11-23")], own_fields=own
    )
    assert made["consent"] == {"phone": True, "basis": "consent"}


def hubspots(options: object) -> Any:
    return event(hubspot({"email": "a@example.com"}, legalConsentOptions=options)).get("consent")


def test_hubspots_consent() -> None:
    options = {
        "consent": {
            "consentToProcess": True,
            "text": "I agree to the processing of my data.",
            "communications": [
                {"value": True, "subscriptionTypeId": 1, "text": "The newsletter"},
                {"value": False, "subscriptionTypeId": 2, "text": "Offers of partners"},
            ],
        }
    }
    assert hubspots(options) == {
        "marketing": True,
        "email": True,
        "basis": "consent",
        "text": "I agree to the processing of my data.\nThe newsletter",
    }


def test_hubspots_legitimate_interest() -> None:
    options = {
        "legitimateInterest": {"value": True, "subscriptionTypeId": 999, "legalBasis": "LEAD", "text": "We may."}
    }
    assert hubspots(options) == {"marketing": True, "email": True, "basis": "legitimate_interest", "text": "We may."}
    made = event(hubspot({"email": "a@example.com"}, legalConsentOptions=options))
    assert made["properties"]["hubspot"]["legalConsentOptions"] == options


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"consent": {"consentToProcess": True, "communications": []}}, {"basis": "consent"}),
        (
            {"consent": {"consentToProcess": False, "communications": [{"value": False}]}},
            {"marketing": False, "email": False},
        ),
        ({"consent": {"communications": "all"}}, None),
        ({"legitimateInterest": {"value": "yes"}}, None),
        ({"consent": []}, None),
        ({}, None),
        ("none", None),
    ],
)
def test_hubspots_consent_when_little_was_said(options: object, expected: Any) -> None:
    assert hubspots(options) == expected
