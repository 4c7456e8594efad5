#!/bin/sh
# Imports the public Olist files in FOLDER: leads and deals as history, or with --live the leads alone as if they
# came in now. See docs/import.md. Usage: olist.sh [--live] FOLDER
set -eu

live=
if [ "${1:-}" = "--live" ]; then live=1; shift; fi
if [ $# -ne 1 ] || [ ! -d "$1" ]; then
    echo "usage: $0 [--live] FOLDER (the folder that holds the Olist CSV files)" >&2
    exit 1
fi
folder=$1
here=$(dirname "$0")
funnel=${FUNNEL:-$here/../../.venv/bin/funnel}
[ -x "$funnel" ] || funnel=funnel

if [ -f "$folder/olist_marketing_closed_deals_dataset.csv" ]; then
    form=  # saved again by a spreadsheet: semicolons, dates with dots
    deals=$folder/olist_marketing_closed_deals_dataset.csv
else
    form=-kaggle
    deals=$folder/olist_closed_deals_dataset.csv
fi
leads=$folder/olist_marketing_qualified_leads_dataset.csv

if [ -n "$live" ]; then
    exec "$funnel" import "$leads" --mapping "$here/olist-leads$form.yaml" --mode live
fi
"$funnel" import "$leads" --mapping "$here/olist-leads$form.yaml"
"$funnel" import "$deals" --mapping "$here/olist-deals$form.yaml"
