//! Lists, products and ranges against their definitions.
