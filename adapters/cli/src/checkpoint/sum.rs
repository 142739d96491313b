//! The sum that a checkpoint carries of itself: CRC-32 (IEEE 802.3, as in gzip) of what it says.
//!
//! Of the meaning, not of the text: white space, the order of members and the way a character is escaped do not count, so
//! a file that a formatter has laid out anew is still whole. Found is every damage of up to 32 bits in a row of the compact
//! form, and of all other damage all but one in 2^32.

use serde_json::Value;

/// The member that holds it, as eight hexadecimal digits.
pub(super) const NAME: &str = "crc32";

/// Of `value`, which does not hold its own.
pub(super) fn of(value: &Value) -> serde_json::Result<String> {
    let mut value = value.clone();
    // The order in which members were read, if the map keeps that.
    value.sort_all_objects();
    Ok(format!("{:08x}", crc32fast::hash(&serde_json::to_vec(&value)?)))
}

/// Takes it out of what a file holds.
pub(super) fn take(value: &mut Value) -> Option<Value> {
    value.as_object_mut()?.remove(NAME)
}
