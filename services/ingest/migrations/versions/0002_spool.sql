-- Records that were answered with 202 and that Kafka has not acknowledged yet: what is published is these very bytes.
CREATE TABLE spool (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic         text        NOT NULL,  -- logical name, without the deployment's prefix
    key           bytea       NOT NULL,
    headers       bytea       NOT NULL,  -- packed, see funnel.envelope
    value         bytea       NOT NULL,
    at            timestamptz NOT NULL DEFAULT clock_timestamp(),
    claimed_by    text,                  -- the replica that publishes the row now, or did when it ended
    claimed_until timestamptz NOT NULL DEFAULT '-infinity'   -- not indexed: claiming a row leaves the index alone
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000);

-- What the spool should hold: rows put in minus rows published and taken out, counted in the transactions that did it.
-- Fewer rows than that, and somebody deleted what was answered with 202. A row per replica, so that none waits for
-- another.
CREATE TABLE spool_account (
    replica text COLLATE "C" NOT NULL,
    topic   text COLLATE "C" NOT NULL,
    spooled bigint           NOT NULL DEFAULT 0,
    drained bigint           NOT NULL DEFAULT 0,
    PRIMARY KEY (replica, topic)
) WITH (fillfactor = 50);

-- Requests that came with an Idempotency-Key. Without a status the answer is still being worked on.
CREATE TABLE idempotency (
    source       text COLLATE "C" NOT NULL,
    path         text COLLATE "C" NOT NULL,
    key          text COLLATE "C" NOT NULL,
    fingerprint  bytea       NOT NULL,       -- of the request: the same key with another one is a mistake
    attempt      text        NOT NULL,       -- whose work it is: one that was given up must not touch its successor's
    started_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    status       integer,
    content_type bytea,                      -- null: what the status says
    headers      bytea,                      -- packed, see funnel.envelope
    body         bytea,
    PRIMARY KEY (source, path, key)
);

-- Where forgetting begins.
CREATE INDEX idempotency_oldest ON idempotency (started_at);
