"""The names that fields of real pages go by, English and Japanese, each with what it means.

Politeness (お名前, ご担当者様), case, width, separators, hiragana or katakana, and marks such as 必須 do not matter.
"""

from __future__ import annotations

from typing import Final

EMAIL: Final = "identity.email"
PHONE: Final = "identity.phone"
POSTAL_CODE: Final = "person.postal_code"
MESSAGE: Final = "person.message"
EMPLOYEES: Final = "person.employees"
NAME_KANA: Final = "person.name_kana"

LAST_KANA: Final = "kana.last"
FIRST_KANA: Final = "kana.first"
"""Readings of the two names apart; together they are `person.name_kana`."""

AGREEMENT: Final = "consent.agreement"
"""A yes to terms or a privacy notice: it allows no channel, but says on what the use of the data rests."""

NEWSLETTER: Final = "consent.newsletter"
"""A yes to marketing by e-mail."""

CONSENT_TEXT: Final = "consent.text"

ALIASES: Final = {
    EMAIL: """
        email, e-mail address, mail, mail address, business email, work email, company email, contact email,
        メールアドレス, Eメール, Eメールアドレス, メール, 電子メール, 電子メールアドレス, 会社メールアドレス,
        連絡先メールアドレス
        """,
    PHONE: """
        phone, phone number, tel, tel no, telephone, telephone number, contact phone, business phone, work phone,
        電話番号, 電話, 連絡先電話番号, 日中の連絡先電話番号, 会社電話番号, TEL番号,
        mobile phone, mobile, mobile phone number, mobile number, cell phone, cell, keitai,
        携帯, 携帯電話, 携帯番号, 携帯電話番号, 電話番号携帯, 0-2/phone
        """,
    "identity.visitor_id": "visitor id, hubspotutk, hutk",
    "person.name": """
        name, full name, contact name, customer name,
        氏名, 名前, 担当者名, 担当者, 担当者氏名, 漢字氏名, 氏名漢字, 名前漢字
        """,
    NAME_KANA: """
        name kana, kana, furigana, full name kana, name furigana,
        フリガナ, カナ, ヨミガナ, 氏名フリガナ, 氏名カナ, フリガナ氏名, カナ氏名, 名前フリガナ, 名前カナ, 名前ヨミガナ,
        担当者名フリガナ, 担当者名カナ, 担当者フリガナ
        """,
    LAST_KANA: """
        last name kana, kana last name, sei kana, kana sei, last kana, family name kana, name sei kana,
        last name furigana, セイ, 姓カナ, 姓フリガナ, フリガナ姓, カナ姓, フリガナセイ, セイカナ, 姓セイ, セイフリガナ,
        氏名カナセイ, 名前カナセイ, カナセイ
        """,
    FIRST_KANA: """
        first name kana, kana first name, mei kana, kana mei, first kana, given name kana, name mei kana,
        first name furigana, メイ, 名カナ, 名フリガナ, フリガナ名, カナ名, フリガナメイ, メイカナ, 名メイ, メイフリガナ,
        氏名カナメイ, 名前カナメイ, カナメイ
        """,
    "person.last_name": """
        last name, family name, surname, lname, last, sei, name sei, sei kanji, name last,
        姓, 苗字, 名字, 氏名姓, 名前姓, 姓漢字
        """,
    "person.first_name": """
        first name, given name, forename, fname, first, mei, name mei, mei kanji, name first,
        名, 下の名前, 氏名名, 名前名, 名漢字
        """,
    "person.title": "job title, title, position, job position, role, 役職, 役職名, 肩書, 肩書き",
    "person.department": """
        department, department name, dept, division, 部署, 部署名, 所属部署, 所属部署名, 部門, 部門名
        """,
    "person.company": """
        company, company name, organization, organisation, organization name, corporation, business name, 0-2/name,
        会社名, 貴社名, 社名, 法人名, 企業名, 団体名, 組織名, 会社, 会社団体名, 会社名団体名, 貴社名団体名,
        企業名団体名, 法人名団体名, 会社法人名, 会社名法人名, 会社名屋号, 法人名屋号, 勤務先, 勤務先名, 勤務先会社名
        """,
    "person.corporate_number": "corporate number, houjin bangou, hojin bango, 法人番号",
    EMPLOYEES: """
        employees, num employees, number of employees, employee count, 0-2/numberofemployees,
        従業員数, 社員数, 従業員, 従業員規模, 企業規模
        """,
    "person.industry": "industry, company industry, 業種, 業界, 業種業態, 業種業界",
    "person.country": "country, country name, country region, 国, 国名, 国地域",
    "person.region": "region, state, state region, province, prefecture, pref, 都道府県, 都道府県名, 県",
    "person.city": "city, town, 市区町村, 市町村, 市区町村名, 市区郡町村",
    POSTAL_CODE: "postal code, postcode, zip, zip code, zip postal code, yubin bango, 郵便番号",
    MESSAGE: """
        message, comment, comments, inquiry, enquiry, question, questions, inquiry details, inquiry content, body,
        details, contents, content, textarea, free text,
        問い合わせ内容, 問合せ内容, 問合わせ内容, 問い合わせ詳細, 問い合わせ本文, 相談内容, 質問内容, 依頼内容,
        要望内容, メッセージ, 本文, 内容, 質問, 要望, 質問要望, 要望質問, 意見要望, 意見, 質問相談, 相談, 問い合わせ,
        問合せ, 備考, コメント, その他要望, 自由記入欄
        """,
    "consent.marketing": """
        consent marketing, marketing consent, marketing, marketing opt in, opt in marketing, opt in,
        案内希望, 最新情報の案内, 知らせの配信, 広告配信
        """,
    NEWSLETTER: """
        newsletter, newsletter opt in, subscribe, newsletter subscription, subscribe newsletter, mailmagazine,
        メルマガ, メールマガジン, メルマガ登録, メルマガ購読, メルマガ配信, メルマガ希望, メールマガジン購読,
        メールマガジン登録, メールマガジン配信, メールマガジン希望, メール配信, メール配信希望, メルマガ配信希望,
        メルマガを受け取る, メールマガジンを受け取る
        """,
    "consent.email": "consent email, email consent, opt in email, email opt in, メール連絡可, メールでの連絡",
    "consent.phone": """
        consent phone, phone consent, opt in phone, phone opt in, consent call, call consent, 電話連絡可, 電話での連絡
        """,
    "consent.sms": "consent sms, sms consent, opt in sms, sms opt in, SMSでの連絡, SMS配信",
    AGREEMENT: """
        consent, accept, accept terms, acceptance, terms, tos, terms of service, terms and conditions, terms consent,
        privacy, privacy consent, consent privacy, consent to process, LEGAL_CONSENT.processing, 利用規約, 個人情報
        """,
    CONSENT_TEXT: "consent text, consent wording",
}
"""What it means -> its names, the likeliest first: of two fields that mean the same, the one named earlier counts."""

AGREEMENT_WORDS: Final = (
    r"(?<!dis)agree|gdpr|privacypolicy|同意(?!シナイ|シマセン)|プライバシーポリシー|個人情報(保護方針|ノ取)"
)
"""Pages word their consent too freely for a table; folded names with these words ask for an agreement."""

NEVER_STORED: Final = (
    "passw(or)?d|passphrase|passcode|card(number|num|no$)|creditcard$|^cc(number|num|no|csc|exp|name)$|cvv|cvc|"
    "securitycode|^(pwd|pass|pin|csc|ssn|mynumber)$|"
    "パスワード|暗証番号|カード番号|クレジットカード$|セキュリティコード|マイナンバー|個人番号"
)
"""Folded names of what must never be stored: passwords, cards, numbers of the state's."""

OF_THE_PAGE: Final = (
    "csrf|xsrf|authenticitytoken|requestverificationtoken|(recaptcha|hcaptcha|turnstile)response|wpnonce|^nonce$"
)
"""Folded names of what a framework or a captcha put into the form for itself."""
