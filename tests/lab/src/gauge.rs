//! A far end that notes when frames arrive, at rates that a [`Recorder`](crate::Recorder) cannot follow: an XDP program that
//! counts them by tenths of a millisecond and drops them.
//!
//! ```text
//! s0 --- veth ---> w0: gauge --- IPv4: counted in the span of its moment, dropped
//!                        '------ all else ---> the kernel
//! ```
//!
//! What it tells has the form of a record, [`Arrivals`]: the frames of a span are taken to have come evenly over it, so the
//! ends of a window are exact to a span. The program is `tests/lab/bpf/gauge.bpf.c`. Never answers.

use std::time::Duration;

use crate::{
    Arrivals, Namespace,
    xdp::{Attached, Object, Spans, XdpError},
};

const OBJECT: Object =
    Object { program: "gauge", octets: aya::include_bytes_aligned!("../bpf/gauge.bpf.o") };

/// How long a span of the program is; it has 2^17 of them.
const SPAN: Duration = Duration::from_micros(100);

/// An XDP program that counts frames by the time of their arrival, until this is dropped.
#[derive(Debug)]
pub struct Gauge {
    _program: Attached,
    spans: Spans,
}

impl Gauge {
    /// For how long frames may come: later ones are taken for earlier ones. A stretch without any must remain, by which it is
    /// known which was the first.
    pub const MOST: Duration = Duration::from_secs(12);

    /// Counts all IPv4 that comes to `device` of `namespace` from now on, and drops it.
    ///
    /// # Errors
    ///
    /// [`XdpError::NeedsRoot`] for an ordinary user, and for root of a user namespace; [`XdpError::Attach`] when there is no
    /// such device or it has an XDP program already.
    pub fn attach(namespace: &Namespace, device: &str) -> Result<Self, XdpError> {
        let mut program = OBJECT.attach(&[], namespace, device)?;
        Ok(Self { spans: program.spans()?, _program: program })
    }

    /// What came until now.
    ///
    /// # Errors
    ///
    /// [`XdpError::Counts`] when the kernel refuses.
    pub fn arrivals(&self) -> Result<Arrivals, XdpError> {
        let times = times(&self.spans.counts()?);
        let counted = times.len() as u64;
        Ok(Arrivals::new(times, counted))
    }
}

/// When the frames came that were counted in a ring of spans, in nanoseconds from some moment before the first of them. The
/// longest stretch of the ring without a frame lies before the first and behind the last.
fn times(counts: &[u64]) -> Vec<u64> {
    let len = counts.len();
    let mut longest = (0, 0);
    let mut empty = 0;
    // Twice around, for the longest may go over the end.
    for place in 0..2 * len {
        empty = if counts[place % len] == 0 { empty + 1 } else { 0 };
        if empty > longest.0 {
            longest = (empty, place + 1);
        }
    }
    let (_, first) = longest;
    let nanos = SPAN.as_nanos() as u64;
    let spans = (0..len).map(|span| (span as u64 * nanos, counts[(first + span) % len]));
    spans
        .flat_map(|(at, count)| (0..count).map(move |number| at + number * nanos / count))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(counts: [u64; 8], expected: &[u64]) {
        let micros: Vec<u64> = times(&counts).into_iter().map(|at| at / 1_000).collect();
        assert_eq!(micros, expected);
    }

    #[test]
    fn the_ring_begins_behind_its_longest_empty_stretch() {
        check([1, 1, 0, 2, 0, 0, 0, 1], &[0, 100, 200, 400, 450]);
        check([0, 0, 4, 0, 1, 0, 0, 0], &[0, 25, 50, 75, 200]);
        check([0, 1, 0, 0, 1, 0, 0, 0], &[0, 300]);
        check([0; 8], &[]);
        check([1; 8], &[0, 100, 200, 300, 400, 500, 600, 700]);
    }
}
