//! The name under which a launch is made, so that making it twice is making it once.
//!
//! EC2 gives the same instance for the same client token, and refuses a token that comes with other parameters: so there is one for
//! each slot, generation, type and subnet. It is made of them and kept nowhere, hence the same after a restart and in every
//! manager. A store that was made anew counts generations from one again: the platform's id keeps its tokens apart from the old
//! one's.

use uuid::Uuid;

use crate::walk::Combination;

/// The space of our tokens among all names that are made so.
const LAUNCHES: Uuid = Uuid::from_u128(0x6d72_7066_6563_3282_8f1d_5a3e_90c4_7b21);

/// The client token of a launch: 36 of the 64 characters that it may have.
pub(crate) fn token(platform: &str, (slot, generation): (u32, u32), at: &Combination) -> String {
    let (kind, subnet) = (at.kind.unwrap_or(""), at.subnet.as_deref().unwrap_or(""));
    let name = format!("{platform}\0{slot}\0{generation}\0{kind}\0{subnet}");
    Uuid::new_v5(&LAUNCHES, name.as_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::token;
    use crate::walk::Combination;

    #[test]
    fn what_differs_has_another_token() {
        let mut tokens = BTreeSet::new();
        for platform in ["", "one", "another"] {
            for slot in [(1, 1), (1, 11), (11, 1), (2, 1)] {
                for kind in [None, Some("t4g.micro"), Some("c7g.medium")] {
                    for subnet in [None, Some("subnet-a"), Some("subnet-b")] {
                        let at = Combination { kind, subnet: subnet.map(str::to_owned) };
                        let token = token(platform, slot, &at);
                        assert!(token.len() <= 64 && token.is_ascii(), "{token}");
                        assert!(tokens.insert(token), "{platform} {slot:?} {at}");
                    }
                }
            }
        }
        assert_eq!(tokens.len(), 3 * 4 * 3 * 3);
    }

    #[test]
    fn it_is_the_same_for_ever() {
        // A manager of a later version may ask for what one of this version has launched.
        let at = Combination { kind: Some("t4g.micro"), subnet: Some("subnet-a".to_owned()) };
        assert_eq!(token("p", (3, 7), &at), "7959b48a-bc95-5434-93da-392eeee23cce");
    }
}
