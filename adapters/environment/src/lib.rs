//! Settings of the programs of the mrpf platform, from the environment.
