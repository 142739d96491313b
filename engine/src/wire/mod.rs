//! To be written by its owner; the names that everything else needs stand here already.
