//! The store of the mrpf platform in PostgreSQL.
