-- What TLS told. A certificate is there once, on however many endpoints it is shown.

CREATE TABLE recon.certificate (
    sha256     text COLLATE "C" PRIMARY KEY, -- in hex
    subject    text,
    issuer     text,
    not_before text, -- RFC 3339, as far as it can be read: there are years that no timestamp has
    not_after  text,
    record     json NOT NULL, -- everything that stands in it, names too
    der        text, -- in base64
    first_seen timestamptz NOT NULL,
    last_seen  timestamptz NOT NULL
);

CREATE TABLE recon.endpoint_certificate (
    key        text COLLATE "C" PRIMARY KEY, -- '203.0.113.7:443/tcp SHA256'
    ip         inet NOT NULL,
    port       integer NOT NULL CHECK (port BETWEEN 0 AND 65535),
    transport  text NOT NULL,
    sha256     text NOT NULL,
    position   integer NOT NULL, -- among those that the endpoint shows: 0 is its own
    first_seen timestamptz NOT NULL,
    last_seen  timestamptz NOT NULL
);

-- Where a certificate is shown.
CREATE INDEX endpoint_certificate_shown ON recon.endpoint_certificate (sha256);

CREATE TABLE recon.domain_endpoint (
    key        text COLLATE "C" PRIMARY KEY, -- 'example.org 203.0.113.7:443/tcp'
    domain     text NOT NULL CHECK (domain = lower(domain)),
    ip         inet NOT NULL,
    port       integer NOT NULL CHECK (port BETWEEN 0 AND 65535),
    transport  text NOT NULL,
    sources    text[] NOT NULL, -- sorted
    first_seen timestamptz NOT NULL,
    last_seen  timestamptz NOT NULL
);

-- What names an endpoint has.
CREATE INDEX domain_endpoint_named ON recon.domain_endpoint (ip, port);

GRANT SELECT, INSERT, UPDATE, DELETE ON recon.certificate, recon.endpoint_certificate, recon.domain_endpoint
    TO mrpf_internal, mrpf_bare_metal;
