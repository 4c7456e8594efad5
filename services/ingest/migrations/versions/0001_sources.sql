-- Who may send, from which pages, and how much. A source is switched off, never deleted: its events name it.
CREATE TABLE source (
    name              text COLLATE "C" PRIMARY KEY,
    origins           text[] NOT NULL,
    redirects         text[] NOT NULL,
    events_per_second integer NOT NULL CHECK (events_per_second >= 1),
    honeypot          text NOT NULL,
    min_fill_seconds  double precision NOT NULL CHECK (min_fill_seconds >= 0),
    turnstile         boolean NOT NULL,
    fields            jsonb NOT NULL,
    active            boolean NOT NULL,
    created_at        timestamptz NOT NULL DEFAULT now()
);

-- digest = SHA-256 of the key; the key itself is nowhere. hint = its first characters, to recognise it by.
-- Revoked and expired keys stay, to tell whose they were.
CREATE TABLE source_key (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    source     text COLLATE "C" NOT NULL REFERENCES source,
    kind       text NOT NULL CHECK (kind IN ('write', 'secret')),
    digest     bytea NOT NULL UNIQUE CHECK (octet_length(digest) = 32),
    hint       text NOT NULL CHECK (length(hint) <= 8),
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    revoked_at timestamptz
);

CREATE INDEX source_key_of_source ON source_key (source);

-- Every process has all of this in memory; each change tells all of them, also one made by hand.
CREATE FUNCTION tell_sources() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('ingest_sources', '');
    RETURN NULL;
END
$$;

CREATE TRIGGER source_changed AFTER INSERT OR UPDATE OR DELETE ON source
FOR EACH STATEMENT EXECUTE FUNCTION tell_sources();

CREATE TRIGGER source_key_changed AFTER INSERT OR UPDATE OR DELETE ON source_key
FOR EACH STATEMENT EXECUTE FUNCTION tell_sources();
