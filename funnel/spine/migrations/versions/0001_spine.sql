-- Ownership and position of a partition are one row. Named leases ('#outbox', '#kpis') live here too, with next NULL.
CREATE TABLE position (
    topic        text        NOT NULL,   -- logical name, without the deployment's prefix
    partition    integer     NOT NULL,
    owner        text,
    lease_until  timestamptz NOT NULL DEFAULT '-infinity',
    epoch        bigint      NOT NULL DEFAULT 0,   -- grows with every change of owner: the fence
    first        bigint,                 -- offset the log was first read from
    next         bigint,                 -- offset of the next record to apply
    last_ce_id   text,                   -- fingerprint of the record at next - 1
    applied      bigint      NOT NULL DEFAULT 0,
    duplicates   bigint      NOT NULL DEFAULT 0,
    quarantined  bigint      NOT NULL DEFAULT 0,
    holes        bigint      NOT NULL DEFAULT 0,   -- offsets that hold no record (control records)
    skipped      bigint      NOT NULL DEFAULT 0,   -- offsets a person gave up with `funnel position skip`
    PRIMARY KEY (topic, partition)
) WITH (fillfactor = 20);                -- rewritten with every batch: leave room for in-page updates

-- Every event ever applied, so that a repeat has no effect; the hash tells a repeat from a reused id.
CREATE TABLE inbox (
    source   text        NOT NULL,
    event_id text        NOT NULL,
    hash     bytea       NOT NULL,
    at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source, event_id)
);

-- Records to publish. Ids are drawn under the lead's lock, so per lead their order is the commit order.
CREATE TABLE outbox (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic   text  NOT NULL,
    key     text  NOT NULL,
    ce_id   text  NOT NULL,
    headers bytea NOT NULL,              -- packed, see funnel.envelope
    value   bytea NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000);

-- How far the relay's own records are known to be acknowledged: where it reads back from after a doubt.
CREATE TABLE relay_position (
    topic     text    NOT NULL,
    partition integer NOT NULL,
    next      bigint  NOT NULL,
    PRIMARY KEY (topic, partition)
);

CREATE TABLE quarantine (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic         text        NOT NULL,
    partition     integer     NOT NULL,
    record_offset bigint      NOT NULL,
    source        text        NOT NULL,
    event_id      text        NOT NULL,
    reason        text        NOT NULL,
    key           bytea,
    value         bytea,
    headers       bytea       NOT NULL,  -- packed, see funnel.envelope
    at            timestamptz NOT NULL DEFAULT now(),
    replayed_at   timestamptz,
    UNIQUE (topic, partition, record_offset)
);
