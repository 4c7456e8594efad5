-- What an audit found, and whether it still is so. No personal data: leads and records by id and place.
-- gone_at: looked at again, and it was as it should be. accepted_at: a person takes it as it is, with a note.
CREATE TABLE audit_finding (
    id            bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind          text        NOT NULL,
    what          text        NOT NULL,
    topic         text,                  -- with partition and record_offset: the record to look at again
    partition     integer,
    record_offset bigint,
    lead_id       uuid,                  -- the lead to look at again
    detail        jsonb       NOT NULL,
    first_seen    timestamptz NOT NULL DEFAULT now(),
    last_seen     timestamptz NOT NULL DEFAULT now(),
    checked_at    timestamptz NOT NULL DEFAULT now(),
    gone_at       timestamptz,
    accepted_at   timestamptz,
    note          text,
    UNIQUE (kind, what),
    CHECK ((accepted_at IS NULL) = (note IS NULL))
);
-- The open ones, counted every second, and those first that were not looked at for the longest time.
CREATE INDEX audit_finding_open ON audit_finding (checked_at) INCLUDE (kind) WHERE gone_at IS NULL AND accepted_at IS NULL;

-- Where the walks over everything old stand, so that a restart does not begin them anew.
CREATE TABLE audit_cursor (
    walk text PRIMARY KEY,
    at   text NOT NULL
) WITH (fillfactor = 20);

-- When a round of the auditor was last complete, and since when this service has been there.
CREATE TABLE audit_round (
    one      boolean     PRIMARY KEY DEFAULT true CHECK (one),
    began_at timestamptz NOT NULL DEFAULT now(),
    at       timestamptz
) WITH (fillfactor = 20);
INSERT INTO audit_round DEFAULT VALUES;

-- What of the ledger's unaccounted a person has taken as lost for good. The ledger itself shows it for ever.
CREATE TABLE accepted_loss (
    id    bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind  text        NOT NULL,
    count bigint      NOT NULL CHECK (count > 0),
    note  text        NOT NULL,
    at    timestamptz NOT NULL DEFAULT now()
);
