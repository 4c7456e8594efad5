-- name: add_tallies
-- rows come in the order of the key, so that two writers meet in the same order; ON CONFLICT adds to the newest row
INSERT INTO tally AS t (day, kpi, origin, currency, count, amount)
SELECT day, kpi, origin, currency, count, amount
FROM unnest($1::date[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::numeric[])
    WITH ORDINALITY AS n (day, kpi, origin, currency, count, amount, n)
ORDER BY n
ON CONFLICT (day, kpi, origin, currency)
DO UPDATE SET count = t.count + excluded.count, amount = t.amount + excluded.amount

-- name: totals
SELECT kpi, currency, sum(count)::bigint AS count, sum(amount) AS amount FROM tally GROUP BY kpi, currency

-- name: days
-- the range there is anything to tell about
SELECT min(day) AS first, max(day) AS last FROM tally

-- name: tallies_between
SELECT day, kpi, NULL AS origin, currency, sum(count)::bigint AS count, sum(amount) AS amount
FROM tally WHERE day BETWEEN $1 AND $2 GROUP BY day, kpi, currency

-- name: tallies_between_by_origin
SELECT day, kpi, origin, currency, count, amount FROM tally WHERE day BETWEEN $1 AND $2
