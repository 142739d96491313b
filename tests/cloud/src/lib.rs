//! AWS in small, for tests.
