//! The commands of the mrpf platform over any store: submit, status, results, cancel, stop.
