-- How many records each ingest process called stored, over all its receipts. A process has a new id at every start.
CREATE TABLE answered (
    process  text   PRIMARY KEY,
    events   bigint NOT NULL,
    outcomes bigint NOT NULL
) WITH (fillfactor = 50);                  -- the rows of the processes at work are rewritten every minute
