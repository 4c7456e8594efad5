-- Who is known by what. lead_id is null for a visitor whom nobody has identified yet. Rows are locked in the order of
-- the key, so the collation is fixed. Room in the page keeps the one update of a row (its claim) out of the index.
CREATE TABLE identifier (
    kind    text COLLATE "C" NOT NULL,
    value   text COLLATE "C" NOT NULL,
    lead_id uuid,
    PRIMARY KEY (kind, value)
) WITH (fillfactor = 80);

-- A lead as last published (record) and what is needed to take in another touch (evidence). Rows are rewritten often
-- and whole: space kept free in a page takes the new version, without touching the index, and a row stays in its page,
-- uncompressed, up to 4 kB. json and not jsonb, here and below: what is read is always the whole value, and json is
-- three times faster to write and to read.
CREATE TABLE lead (
    lead_id    uuid PRIMARY KEY,
    version    integer NOT NULL,
    stage      text NOT NULL,
    score      integer NOT NULL,
    created_at timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    record     json NOT NULL,
    evidence   json NOT NULL
) WITH (fillfactor = 70, toast_tuple_target = 4080);

-- Every event that was applied, for good. subject is the lead, or the visitor while nobody knows who that is; a lead's
-- evidence names the visitors whose touches became its own, so no touch is ever rewritten. Its uniqueness is the
-- inbox's business.
CREATE TABLE touch (
    subject     uuid NOT NULL,
    occurred_at timestamptz NOT NULL,
    event_id    text NOT NULL,
    source      text NOT NULL,
    type        text NOT NULL,
    details     json NOT NULL
) WITH (toast_tuple_target = 4080);

-- The touches of a lead or visitor, in order.
CREATE INDEX touch_of_subject ON touch (subject, occurred_at);

-- An event of lead_id carried an identifier that other_lead_id had claimed before: perhaps one person, perhaps two who
-- share a phone or a browser. Once per pair and identifier, with the first event that showed it.
CREATE TABLE conflict (
    lead_id       uuid NOT NULL,
    other_lead_id uuid NOT NULL,
    kind          text NOT NULL,
    value         text NOT NULL,
    source        text NOT NULL,
    event_id      text NOT NULL,
    noticed_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (lead_id, other_lead_id, kind, value)
);
