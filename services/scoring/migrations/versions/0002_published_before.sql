-- Leads as they stood on lead-scores when a failover took their newest versions out of the database (`funnel reconcile`).
-- Their events are read again; what comes of them goes on from here: the same lead, a higher version, the same moment of
-- qualification. Nothing personal is kept.
CREATE TABLE published_before (
    lead_id      uuid        PRIMARY KEY,
    version      integer     NOT NULL,
    stage        text        NOT NULL,
    created_at   timestamptz NOT NULL,
    qualified_at timestamptz
);

-- The lead that had claimed the identifier on lead-scores, while no lead has in the table.
ALTER TABLE identifier ADD COLUMN promised_to uuid;
