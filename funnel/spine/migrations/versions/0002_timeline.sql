-- The timeline of the server on which these tables were last known to hold all that the service had published. One row;
-- none yet: nobody has looked.
CREATE TABLE timeline (
    one_row boolean     PRIMARY KEY DEFAULT true CHECK (one_row),
    name    text        NOT NULL,          -- system identifier and timeline of the server
    since   timestamptz NOT NULL DEFAULT now()
);
