-- What was found. A row is there once, however often it is found: a repeat moves `last_seen` and adds to `sources`.

CREATE TABLE recon_target (
    key        TEXT PRIMARY KEY, -- 'domain example.org'
    kind       TEXT NOT NULL CHECK (kind IN ('domain', 'cidr', 'ip', 'org')),
    value      TEXT NOT NULL,
    first_seen INTEGER NOT NULL,
    last_seen  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE recon_domain (
    name       TEXT PRIMARY KEY CHECK (name = lower(name)),
    sources    TEXT NOT NULL, -- a JSON array of names, sorted
    first_seen INTEGER NOT NULL,
    last_seen  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE recon_endpoint (
    key        TEXT PRIMARY KEY, -- '203.0.113.7:443/tcp'
    ip         TEXT NOT NULL,
    port       INTEGER NOT NULL CHECK (port BETWEEN 0 AND 65535),
    transport  TEXT NOT NULL,
    service    TEXT,
    first_seen INTEGER NOT NULL,
    last_seen  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Addresses that nobody is to touch: a network, a range or one.
CREATE TABLE recon_blocklist (
    range    TEXT PRIMARY KEY,
    added_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
