//! AWS in small, for tests.

mod moto;

pub use self::moto::Moto;
