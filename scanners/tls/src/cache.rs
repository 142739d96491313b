use std::{collections::HashMap, mem};

use aws_lc_rs::digest;

/// A SHA-256.
pub(crate) type Digest = [u8; 32];

/// The SHA-256 of `parts`, one after the other.
pub(crate) fn sha256(parts: &[&[u8]]) -> Digest {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    let mut sum = [0; 32];
    // The output of SHA-256 is as long as `sum`; zip would say less, and never more.
    for (to, from) in sum.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    sum
}

/// What was worked out of bytes, by their SHA-256; bounded in octets, whatever strangers send.
///
/// Two generations: when the young one has half of the limit, it becomes the old one and the old one is forgotten. What is
/// asked for again moves to the young one, so a certificate that half of the hosts have stays.
pub(crate) struct Cache<V> {
    young: HashMap<Digest, (V, usize)>,
    old: HashMap<Digest, (V, usize)>,
    /// Octets of the young generation.
    weight: usize,
    limit: usize,
}

impl<V: Clone> Cache<V> {
    /// Keeps about `limit` octets, as [`Self::insert`] is told.
    pub(crate) fn new(limit: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), weight: 0, limit }
    }

    pub(crate) fn get(&mut self, key: &Digest) -> Option<V> {
        if let Some((value, _)) = self.young.get(key) {
            return Some(value.clone());
        }
        let (value, weight) = self.old.remove(key)?;
        self.insert(*key, value.clone(), weight);
        Some(value)
    }

    /// Keeps a value that costs `weight` octets beside its place here.
    pub(crate) fn insert(&mut self, key: Digest, value: V, weight: usize) {
        let place = size_of::<(Digest, (V, usize))>();
        if self.weight.saturating_add(weight).saturating_add(place) > self.limit / 2 {
            self.old = mem::take(&mut self.young);
            self.weight = 0;
        }
        self.weight = self.weight.saturating_add(weight).saturating_add(place);
        self.young.insert(key, (value, weight));
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u32) -> Digest {
        sha256(&[&n.to_be_bytes()])
    }

    #[test]
    fn parts_are_hashed_as_one() {
        assert_eq!(sha256(&[b"a", b"bc"]), sha256(&[b"abc"]));
        assert_eq!(sha256(&[b"abc"])[..4], [0xba, 0x78, 0x16, 0xbf]); // FIPS 180-2, appendix B.1
    }

    #[test]
    fn what_is_asked_for_stays_and_the_rest_goes() {
        let mut cache = Cache::new(100_000);
        cache.insert(key(0), 0, 1_000);
        for n in 1..10_000 {
            cache.insert(key(n), n, 1_000);
            assert_eq!(cache.get(&key(0)), Some(0));
            assert!(cache.len() <= 100);
        }
        assert_eq!(cache.get(&key(9_999)), Some(9_999));
        assert_eq!(cache.get(&key(1)), None);
    }

    #[test]
    fn a_value_above_the_limit_is_kept_alone() {
        let mut cache = Cache::new(1_000);
        for n in 0..100 {
            cache.insert(key(n), n, 100_000);
            assert_eq!(cache.get(&key(n)), Some(n));
            assert!(cache.len() <= 2);
        }
    }
}
