-- Counts and amounts per local day. Rows are only ever added to, each batch in the order of the primary key.
CREATE TABLE tally (
    day      date    NOT NULL,             -- of occurred_at, in the organisation's time zone
    kpi      text    NOT NULL,
    origin   text    NOT NULL,             -- '' = not known
    currency text    NOT NULL,             -- '' = a count without money
    count    bigint  NOT NULL,
    amount   numeric NOT NULL,
    PRIMARY KEY (day, kpi, origin, currency)
) WITH (fillfactor = 50);                  -- today's rows are rewritten with every batch

-- What scoring and routing say about each lead; the newest version of each wins.
CREATE TABLE lead (
    lead_id             uuid     PRIMARY KEY,
    origin              text     NOT NULL DEFAULT '',
    score_version       bigint   NOT NULL DEFAULT 0,      -- 0 = scoring has not told of it yet
    stage               text,                             -- scoring's view
    qualified           boolean  NOT NULL DEFAULT false,
    qualified_at        timestamptz,
    routing_version     bigint   NOT NULL DEFAULT 0,
    routing_topic       smallint NOT NULL DEFAULT 0,      -- breaks a tie of versions: 0 assignments, 1 decisions
    routing_state       text,
    routing_stage       text,                             -- routing's view, newer than scoring's once a rep works
    routing_at          timestamptz,
    assignments_started integer  NOT NULL DEFAULT 0,
    assignments_ended   integer  NOT NULL DEFAULT 0,
    state               text,                             -- where the ledger counts it; NULL = in none or two places
    unsettled_since     timestamptz                       -- pending or contradictory since, on this server's clock
) WITH (fillfactor = 70);

-- Outcomes in the tally, one row each: the way back to correct an origin or a deal's revenue, and to recount.
CREATE TABLE counted_outcome (
    decision_id text    PRIMARY KEY,
    lead_id     uuid    NOT NULL,
    seq         bigint  GENERATED ALWAYS AS IDENTITY,     -- order in which they were counted
    type        text    NOT NULL,
    day         date    NOT NULL,
    deal_id     text,
    currency    text    NOT NULL,
    amount      numeric,                                  -- NULL = none was told
    overtaken   boolean NOT NULL                          -- the deal was reopened since: counts, earns nothing
);
CREATE INDEX counted_outcome_lead ON counted_outcome (lead_id);   -- load_counted
