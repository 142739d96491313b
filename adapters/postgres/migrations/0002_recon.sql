-- What was found. A row is there once, however often it is found: a repeat moves `last_seen` and adds to `sources`.
-- Keys are in the order of their octets, whatever the database's own order of texts.

CREATE SCHEMA recon;

CREATE TABLE recon.target (
    key        text COLLATE "C" PRIMARY KEY, -- 'domain example.org'
    kind       text NOT NULL CHECK (kind IN ('domain', 'cidr', 'ip', 'org')),
    value      text NOT NULL,
    first_seen timestamptz NOT NULL,
    last_seen  timestamptz NOT NULL
);

CREATE TABLE recon.domain (
    name       text COLLATE "C" PRIMARY KEY CHECK (name = lower(name)),
    sources    text[] NOT NULL, -- sorted
    first_seen timestamptz NOT NULL,
    last_seen  timestamptz NOT NULL
);

CREATE TABLE recon.endpoint (
    key        text COLLATE "C" PRIMARY KEY, -- '203.0.113.7:443/tcp'
    ip         inet NOT NULL,
    port       integer NOT NULL CHECK (port BETWEEN 0 AND 65535),
    transport  text NOT NULL,
    service    text,
    first_seen timestamptz NOT NULL,
    last_seen  timestamptz NOT NULL
);

-- Addresses that nobody is to touch: a network, a range or one.
CREATE TABLE recon.blocklist (
    range    text COLLATE "C" PRIMARY KEY,
    added_at timestamptz NOT NULL
);

-- What was not touched, and why.
CREATE TABLE recon.refusal (
    workflow_id uuid NOT NULL,
    task_id     uuid NOT NULL,
    what        text COLLATE "C" NOT NULL,
    why         text NOT NULL,
    by_whom     text NOT NULL,
    at          timestamptz NOT NULL,
    PRIMARY KEY (workflow_id, task_id, what, why, by_whom)
);
