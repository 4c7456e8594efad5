-- Who can be given leads. open = their active assignments; it changes in the transaction that changes those.
CREATE TABLE rep (
    id       text COLLATE "C" PRIMARY KEY,
    name     text NOT NULL,
    email    text NOT NULL,
    capacity integer NOT NULL CHECK (capacity >= 0),
    open     integer NOT NULL DEFAULT 0 CHECK (open >= 0),
    active   boolean NOT NULL DEFAULT true
) WITH (fillfactor = 20);                -- a few rows, rewritten with every assignment: leave room in the page

-- decisions = number of the last decision taken about the pool, under its row lock.
CREATE TABLE pool (
    name      text COLLATE "C" PRIMARY KEY,
    decisions bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 20);

-- current is the memory of the rotation: it survives restarts and changes of the configuration. declared: the row is
-- from routing.yaml and goes when it is taken out there.
CREATE TABLE pool_member (
    pool     text COLLATE "C" NOT NULL REFERENCES pool,
    rep      text COLLATE "C" NOT NULL REFERENCES rep,
    weight   integer NOT NULL CHECK (weight BETWEEN 1 AND 1000),
    current  integer NOT NULL DEFAULT 0,
    declared boolean NOT NULL,
    PRIMARY KEY (pool, rep)
) WITH (fillfactor = 20);

-- The pools of a rep whose slot becomes free.
CREATE INDEX pool_member_of_rep ON pool_member (rep);

-- Every lead seen in lead-scores or named in an outcome. version is ours, score_version the highest seen of scoring's.
-- score changes with nearly every record, so the index of the queue has a copy of it, filled only while a lead is held.
CREATE TABLE lead (
    lead_id       uuid PRIMARY KEY,
    state         text NOT NULL DEFAULT 'unknown'
        CHECK (state IN ('unknown', 'nurturing', 'held', 'assigned', 'closed')),
    stage         text NOT NULL DEFAULT 'new',
    version       integer NOT NULL DEFAULT 0,
    score_version integer NOT NULL DEFAULT 0,
    score         integer NOT NULL DEFAULT 0,
    epoch         integer NOT NULL DEFAULT 0,
    cycle         integer NOT NULL DEFAULT 1,
    pool          text COLLATE "C",
    rule          text,
    rep           text COLLATE "C",
    qualified_at  timestamptz,
    closed_at     timestamptz,
    held_since    timestamptz,
    held_reason   text,
    held_score    integer,
    excluded      text[] NOT NULL DEFAULT '{}',
    preferred     text COLLATE "C",
    facts         jsonb NOT NULL DEFAULT '{}',
    CHECK ((state = 'held') = (held_reason IS NOT NULL AND held_since IS NOT NULL AND held_score IS NOT NULL)),
    CHECK ((state = 'assigned') = (rep IS NOT NULL)),
    CHECK (state NOT IN ('held', 'assigned') OR pool IS NOT NULL)
) WITH (fillfactor = 60);

-- The queue of a pool, in its order.
CREATE INDEX lead_held ON lead (pool, held_score DESC, qualified_at, lead_id) WHERE state = 'held';

-- One rep owns, or owned, one lead. The two unique indexes hold the promise whatever the code does.
CREATE TABLE assignment (
    assignment_id uuid PRIMARY KEY,
    lead_id       uuid NOT NULL,
    epoch         integer NOT NULL CHECK (epoch >= 1),
    rep           text COLLATE "C" NOT NULL,
    pool          text COLLATE "C" NOT NULL,
    rule          text,
    status        text NOT NULL CHECK (status IN ('active', 'revoked', 'closed')),
    assigned_at   timestamptz NOT NULL,
    ended_at      timestamptz,
    why           text,
    UNIQUE (lead_id, epoch),
    CHECK ((status = 'active') = (ended_at IS NULL))
) WITH (fillfactor = 80);

CREATE UNIQUE INDEX assignment_active ON assignment (lead_id) WHERE status = 'active';

-- Every decision, for good. candidates is what was known of each member of the pool before the choice; the choice can be
-- computed from it again. Decisions that change a pool's queue or a rep's load are numbered within the pool, without gaps.
CREATE TABLE decision (
    decision_id    uuid PRIMARY KEY,
    lead_id        uuid,
    version        integer,
    kind           text NOT NULL,
    at             timestamptz NOT NULL,
    source         text NOT NULL,
    event_id       text NOT NULL,
    mode           text NOT NULL,
    pool           text COLLATE "C",
    number         bigint,
    rule           text,
    rep            text COLLATE "C",
    epoch          integer,
    state          text,
    stage          text,
    reason         text,
    candidates     jsonb NOT NULL,
    outcome        jsonb,
    config_version text NOT NULL,
    UNIQUE (pool, number)
);

-- Everything decided about a lead, in order.
CREATE INDEX decision_of_lead ON decision (lead_id, version, number);

-- key = the reporter's deal id, or the lead's cycle where none was given.
CREATE TABLE deal (
    lead_id      uuid NOT NULL,
    key          text NOT NULL,
    deal_stage   text,
    amount       numeric,
    currency     text,
    opened_at    timestamptz,
    won_at       timestamptz,
    lost_at      timestamptz,
    cancelled_at timestamptz,
    reopened_at  timestamptz,
    PRIMARY KEY (lead_id, key)
);

-- Outcomes whose lead is not known yet. names are what a lead must have one of: lead:.., email:.., phone:.., external:..
CREATE TABLE waiting_outcome (
    source   text COLLATE "C" NOT NULL,
    event_id text COLLATE "C" NOT NULL,
    names    text[] NOT NULL,
    outcome  jsonb NOT NULL,
    since    timestamptz NOT NULL,
    PRIMARY KEY (source, event_id)
);

CREATE INDEX waiting_outcome_names ON waiting_outcome USING gin (names);

-- Which lead has which e-mail address, phone number or external id (kind:value, normalised). lead_id is null while only
-- an outcome has named it: the row is then what the outcome and the lead's arrival meet on.
CREATE TABLE identifier (
    name    text COLLATE "C" PRIMARY KEY,
    lead_id uuid
) WITH (fillfactor = 90);
