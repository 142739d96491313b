//! What every implementation of a port must do, as tests that it runs unchanged.
