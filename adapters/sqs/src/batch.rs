//! How messages are cut into batches.

use std::ops::Range;

/// Most messages of a batch.
pub(crate) const MOST: usize = 10;

/// Cuts messages of these sizes into batches of [`MOST`] and of `limit` octets in all; each is a range of `sizes`. A message that
/// is larger than the limit gets a batch of its own.
pub(crate) fn cut(sizes: &[usize], limit: usize) -> Vec<Range<usize>> {
    let mut batches: Vec<Range<usize>> = Vec::new();
    let mut octets = 0_usize;
    for (at, &size) in sizes.iter().enumerate() {
        match batches.last_mut() {
            Some(last) if last.len() < MOST && octets.saturating_add(size) <= limit => {
                last.end = at + 1;
                octets += size;
            }
            _ => {
                batches.push(at..at + 1);
                octets = size;
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_has_ten_at_most_and_no_more_octets_than_a_message() {
        assert_eq!(cut(&[], 10), []);
        assert_eq!(cut(&[0; 25], 10), [0..10, 10..20, 20..25]);
        assert_eq!(cut(&[4, 6, 1], 10), [0..2, 2..3]);
        assert_eq!(cut(&[1, 10, 1], 10), [0..1, 1..2, 2..3]);
        assert_eq!(cut(&[usize::MAX, usize::MAX], 10), [0..1, 1..2]);
    }

    #[test]
    fn every_message_is_in_one_batch_and_no_two_neighbours_would_fit_into_one() {
        // All sequences of five sizes out of these.
        const SIZES: [usize; 5] = [0, 1, 3, 5, 6];
        for number in 0..SIZES.len().pow(5) {
            let sizes: Vec<usize> =
                (0..5).map(|place| SIZES[number / SIZES.len().pow(place) % SIZES.len()]).collect();
            let batches = cut(&sizes, 6);
            assert!(batches.iter().flat_map(Clone::clone).eq(0..sizes.len()), "{sizes:?}");
            let octets = |batch: &Range<usize>| sizes[batch.clone()].iter().sum::<usize>();
            assert!(batches.iter().all(|batch| octets(batch) <= 6), "{sizes:?}: {batches:?}");
            // Greedy: the first of a batch had no room in the one before.
            for pair in batches.windows(2) {
                assert!(octets(&pair[0]) + sizes[pair[1].start] > 6, "{sizes:?}: {batches:?}");
            }
        }
    }
}
