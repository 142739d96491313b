//! Names against zones whose wildcards are known.
