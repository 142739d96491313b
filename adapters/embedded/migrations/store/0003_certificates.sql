-- What TLS told. A certificate is there once, on however many endpoints it is shown.

CREATE TABLE recon_certificate (
    sha256     TEXT PRIMARY KEY, -- in hex
    subject    TEXT,
    issuer     TEXT,
    not_before TEXT, -- RFC 3339, as far as it can be read
    not_after  TEXT,
    record     TEXT NOT NULL, -- JSON: everything that stands in it, names too
    der        TEXT, -- in base64
    first_seen INTEGER NOT NULL,
    last_seen  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE recon_endpoint_certificate (
    key        TEXT PRIMARY KEY, -- '203.0.113.7:443/tcp SHA256'
    ip         TEXT NOT NULL,
    port       INTEGER NOT NULL CHECK (port BETWEEN 0 AND 65535),
    transport  TEXT NOT NULL,
    sha256     TEXT NOT NULL,
    position   INTEGER NOT NULL, -- among those that the endpoint shows: 0 is its own
    first_seen INTEGER NOT NULL,
    last_seen  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Where a certificate is shown.
CREATE INDEX recon_endpoint_certificate_shown ON recon_endpoint_certificate (sha256);

CREATE TABLE recon_domain_endpoint (
    key        TEXT PRIMARY KEY, -- 'example.org 203.0.113.7:443/tcp'
    domain     TEXT NOT NULL CHECK (domain = lower(domain)),
    ip         TEXT NOT NULL,
    port       INTEGER NOT NULL CHECK (port BETWEEN 0 AND 65535),
    transport  TEXT NOT NULL,
    sources    TEXT NOT NULL, -- a JSON array of names, sorted
    first_seen INTEGER NOT NULL,
    last_seen  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What names an endpoint has.
CREATE INDEX recon_domain_endpoint_named ON recon_domain_endpoint (ip, port);
