-- What DNS says of names: a row for each thing that was ever said.

CREATE TABLE recon_domain_record (
    key        TEXT PRIMARY KEY, -- 'www.example.org A 203.0.113.7'
    domain     TEXT NOT NULL CHECK (domain = lower(domain)), -- the name that was asked for, whatever its aliases
    rtype      TEXT NOT NULL, -- 'A', 'CNAME', 'TYPE65280'
    data       TEXT NOT NULL, -- as a zone file has them
    first_seen INTEGER NOT NULL,
    last_seen  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Which names stand for an address, or lead to a name.
CREATE INDEX recon_domain_record_says ON recon_domain_record (data);
