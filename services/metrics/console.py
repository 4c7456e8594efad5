"""The console page: what the API says, on one page, without scripts or assets from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from html import escape

from funnel.audit.findings import Kind
from funnel.ledger import Ledger
from services.metrics.books import Lag
from services.metrics.domain.report import Figures
from services.metrics.domain.tallies import Kpi

_LABELS = {
    Kpi.LEADS: "Leads",
    Kpi.VISITS: "Site visits",
    Kpi.DOCUMENT_REQUESTS: "Document requests",
    Kpi.APPOINTMENTS: "Appointments",
    Kpi.OPPORTUNITIES: "Opportunities",
    Kpi.ORDERS_WON: "Orders won",
    Kpi.ORDERS_CANCELLED: "Orders cancelled",
    Kpi.LOST: "Lost",
}

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="refresh" content="5"><title>Lead funnel</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #1c1c1c }}
h1 {{ font-size: 1.4rem }} h2 {{ font-size: 1.1rem; margin-top: 2rem }}
table {{ border-collapse: collapse }}
th, td {{ padding: .2rem .8rem; border-bottom: 1px solid #ddd; text-align: right }}
th:first-child, td:first-child {{ text-align: left }}
p.bad {{ color: #a00; font-weight: bold }} p.good {{ color: #060 }}
footer {{ margin-top: 2rem; color: #666; font-size: .9rem }}
</style></head><body><h1>Lead funnel</h1>
{body}
<footer>As of {at}. Days are those of {zone}. The same numbers: <a href="/v1/kpis">/v1/kpis</a>,
<a href="/v1/ledger">/v1/ledger</a>, <a href="/metrics">/metrics</a>, <a href="/docs">/docs</a>.</footer>
</body></html>
"""


def render(
    all_time: Figures,
    month: Figures,
    ledger: Ledger,
    findings: Mapping[Kind, int],
    lags: Sequence[Lag],
    at: datetime,
    zone: str,
) -> str:
    """The page as HTML."""
    parts = [
        "<h2>Funnel</h2>",
        _table(("", "this month", "all time"), _funnel_rows(month, all_time)),
        "<h2>Ledger</h2>",
        _verdict(ledger),
        *(f"<h3>{name.capitalize()}</h3>{_account(account)}" for name, account in asdict(ledger).items()),
        "<h2>Audit</h2>",
        _audit(findings),
        "<h2>Lag</h2>",
        _table(("who reads what", "records waiting", "oldest, seconds"), _lag_rows(lags)),
    ]
    return _PAGE.format(body="\n".join(parts), at=escape(at.strftime("%Y-%m-%d %H:%M:%S %Z")), zone=escape(zone))


def _funnel_rows(month: Figures, all_time: Figures) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = [
        (label, f"{month.count(kpi):,}", f"{all_time.count(kpi):,}") for kpi, label in _LABELS.items()
    ]
    rows.append(("Win ratio", _percent(month.win_ratio), _percent(all_time.win_ratio)))
    for currency in sorted({*all_time.revenue, *month.revenue}):
        amounts = (f"{figures.revenue.get(currency, 0):,}" for figures in (month, all_time))
        rows.append((f"Revenue, {currency}", *amounts))
    return rows


def _percent(ratio: float | None) -> str:
    return "none decided" if ratio is None else f"{ratio:.1%}"


def _verdict(ledger: Ledger) -> str:
    missing = {name: account["unaccounted"] for name, account in asdict(ledger).items() if account["unaccounted"]}
    if not missing:
        return '<p class="good">Nothing is unaccounted.</p>'
    told = ", ".join(f"{count:,} {name}" for name, count in missing.items())
    return f'<p class="bad">Unaccounted: {escape(told)}.</p>'


def _audit(findings: Mapping[Kind, int]) -> str:
    told = ", ".join(f"{count:,} {kind.value}" for kind, count in findings.items() if count)
    if not told:
        return '<p class="good">The auditor has found nothing that is open.</p>'
    return f'<p class="bad">Found: {escape(told)}.</p>'


def _account(account: dict[str, int]) -> str:
    return _table(tuple(account), (tuple(f"{value:,}" for value in account.values()),))


def _lag_rows(lags: Sequence[Lag]) -> list[tuple[object, ...]]:
    """One row per service and topic, over all partitions."""
    rows: dict[str, list[Lag]] = {}
    for lag in lags:
        rows.setdefault(f"{lag.service} reads {lag.topic}", []).append(lag)
    return [(name, f"{sum(lag.records for lag in of):,}", _oldest(of)) for name, of in rows.items()]


def _oldest(lags: Sequence[Lag]) -> str:
    known = [lag.seconds for lag in lags if lag.seconds is not None]
    return f"{max(known):.1f}" if len(known) == len(lags) else "not known yet"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    top = "".join(f"<th>{escape(cell.replace('_', ' '))}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
