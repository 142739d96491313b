-- What DNS says of names: a row for each thing that was ever said.

CREATE TABLE recon.domain_record (
    key        text COLLATE "C" PRIMARY KEY, -- 'www.example.org A 203.0.113.7'
    domain     text NOT NULL CHECK (domain = lower(domain)), -- the name that was asked for, whatever its aliases
    rtype      text NOT NULL, -- 'A', 'CNAME', 'TYPE65280'
    data       text NOT NULL, -- as a zone file has them
    first_seen timestamptz NOT NULL,
    last_seen  timestamptz NOT NULL
);

-- Which names stand for an address, or lead to a name.
CREATE INDEX domain_record_says ON recon.domain_record (data);

GRANT SELECT, INSERT, UPDATE, DELETE ON recon.domain_record TO mrpf_internal, mrpf_bare_metal;
