//! The names of addresses: `1.0.18.198.in-addr.arpa` (RFC 1035, section 3.5) and `...8.b.d.0.1.0.0.2.ip6.arpa`
//! (RFC 3596, section 2.5).

use std::{net::IpAddr, sync::Arc};

use mrpf_engine::target::{Permutation, Targets};

use super::{Names, NamesError, Pull, Question};
use crate::message::Name;

/// The names of all addresses of a description, made when they are asked for.
#[derive(Debug)]
pub struct Pointers {
    targets: Arc<Targets>,
    order: Option<Permutation>,
    next: u128,
}

impl Pointers {
    /// The names of `targets`, whose ports say nothing here: give them one. With a seed they come in an order that looks
    /// random, which spreads them over the servers of all the zones that they lie in; without, in that of the addresses.
    pub fn new(targets: Arc<Targets>, seed: Option<u64>) -> Self {
        let order = seed.map(|seed| Permutation::new(targets.len(), seed));
        Self { targets, order, next: 0 }
    }
}

impl Names for Pointers {
    fn next(&mut self, question: &mut Question) -> Result<Pull, NamesError> {
        if self.next >= self.targets.len() {
            return Ok(Pull::End);
        }
        let index = self.order.as_ref().map_or(self.next, |order| order.forward(self.next));
        self.next += 1;
        question.name = Ok(pointer(self.targets.nth(index).addr));
        (question.server, question.root) = (None, None);
        Ok(Pull::Question)
    }

    fn skip(&mut self, count: u64) -> Result<(), NamesError> {
        self.next = self.next.saturating_add(count.into());
        Ok(())
    }
}

/// The name under which the PTR records of an address are.
pub(super) fn pointer(addr: IpAddr) -> Name {
    // 32 labels of one digit take the most.
    let mut wire = [0; 2 * 32 + 10];
    let mut end = 0;
    let mut push = |label: &[u8]| {
        let to = end + 1 + label.len();
        if let Some((len, octets)) = wire.get_mut(end..to).and_then(<[u8]>::split_first_mut) {
            *len = label.len() as u8;
            octets.copy_from_slice(label);
            end = to;
        }
    };
    match addr {
        IpAddr::V4(addr) => {
            for octet in addr.octets().iter().rev() {
                let digits = [octet / 100, octet / 10 % 10, octet % 10].map(|digit| b'0' + digit);
                let leading = usize::from(*octet < 100) + usize::from(*octet < 10);
                push(digits.get(leading..).unwrap_or_default());
            }
            push(b"in-addr");
        }
        IpAddr::V6(addr) => {
            let bits = addr.to_bits();
            for nibble in 0..32 {
                let digit = b"0123456789abcdef"[(bits >> (4 * nibble) & 0xf) as usize];
                push(&[digit]);
            }
            push(b"ip6");
        }
    }
    push(b"arpa");
    // The root's octet is there from the start.
    Name::from_wire(wire.get(..=end).unwrap_or_default()).unwrap_or_default()
}
