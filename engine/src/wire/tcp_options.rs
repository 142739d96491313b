//! The options of a TCP header (RFC 9293, section 3.1; RFC 7323; RFC 2018).

/// Most octets that the options of a header take.
pub const MAX_LEN: usize = 40;

/// One option.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TcpOption<'a> {
    /// The list ends here; what follows is padding.
    End,
    /// Padding between options.
    Nop,
    /// The longest segment that the sender takes.
    MaximumSegmentSize(u16),
    /// By how many bits windows are shifted.
    WindowScale(u8),
    /// Selective acknowledgements are welcome.
    SackPermitted,
    /// RFC 7323, section 3.
    Timestamps {
        /// The sender's clock.
        value: u32,
        /// The receiver's clock as last heard.
        echo: u32,
    },
    /// Another option, or one of the above in a length that it does not have.
    Other {
        /// Its number.
        kind: u8,
        /// What it holds.
        data: &'a [u8],
    },
    /// A length that leads out of the list or nowhere; nothing after it can be read.
    Malformed,
}

/// The options in `octets`, in order; the last may be [`TcpOption::End`] or [`TcpOption::Malformed`].
pub fn iter(octets: &[u8]) -> Iter<'_> {
    Iter { rest: octets }
}

/// See [`iter`].
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Iter<'a> {
    type Item = TcpOption<'a>;

    fn next(&mut self) -> Option<TcpOption<'a>> {
        let (kind, rest) = self.rest.split_first()?;
        match kind {
            0 => {
                self.rest = &[];
                return Some(TcpOption::End);
            }
            1 => {
                self.rest = rest;
                return Some(TcpOption::Nop);
            }
            _ => {}
        }
        // The length counts the kind and itself.
        let data = rest
            .split_first()
            .and_then(|(len, rest)| rest.split_at_checked(usize::from(*len).checked_sub(2)?));
        let Some((data, rest)) = data else {
            self.rest = &[];
            return Some(TcpOption::Malformed);
        };
        self.rest = rest;
        Some(match (kind, data) {
            (2, &[high, low]) => TcpOption::MaximumSegmentSize(u16::from_be_bytes([high, low])),
            (3, &[shift]) => TcpOption::WindowScale(shift),
            (4, &[]) => TcpOption::SackPermitted,
            (8, &[a, b, c, d, e, f, g, h]) => TcpOption::Timestamps {
                value: u32::from_be_bytes([a, b, c, d]),
                echo: u32::from_be_bytes([e, f, g, h]),
            },
            (kind, data) => TcpOption::Other { kind: *kind, data },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{TcpOption::*, *};

    #[track_caller]
    fn check(octets: &[u8], expected: &[TcpOption<'_>]) {
        assert_eq!(iter(octets).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn the_options_of_a_linux_syn_are_read() {
        let octets = [2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0, 1, 3, 3, 7];
        let options = [
            MaximumSegmentSize(1_460),
            SackPermitted,
            Timestamps { value: 9, echo: 0 },
            Nop,
            WindowScale(7),
        ];
        check(&octets, &options);
    }

    #[test]
    fn the_list_ends_where_it_says() {
        check(&[1, 0, 2, 4, 5, 0xb4], &[Nop, End]);
        check(&[], &[]);
    }

    #[test]
    fn lengths_that_lead_nowhere_end_the_list() {
        check(&[2, 0, 1, 1], &[Malformed]);
        check(&[2, 1, 1, 1], &[Malformed]);
        check(&[1, 2, 5, 0, 0], &[Nop, Malformed]);
        check(&[3], &[Malformed]);
    }

    #[test]
    fn strange_options_are_shown_as_they_are() {
        check(&[2, 3, 9], &[Other { kind: 2, data: &[9] }]);
        check(&[254, 4, 0xca, 0xfe, 1], &[Other { kind: 254, data: &[0xca, 0xfe] }, Nop]);
    }
}
