//! What a ClientHello offers, to know a host that picks something else.

use super::{
    reader::Reader,
    template::extension::{KEY_SHARE, SUPPORTED_GROUPS, SUPPORTED_VERSIONS},
};

/// Lists of a ClientHello, as they stand in it; of one that is not well-formed, those before its fault.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Offer<'a> {
    suites: &'a [u8],
    versions: &'a [u8],
    groups: &'a [u8],
    shares: &'a [u8],
}

impl<'a> Offer<'a> {
    /// Of the handshake message `hello`.
    pub(crate) fn of(hello: &'a [u8]) -> Self {
        let mut offer = Self::default();
        // What is not there is not offered.
        let _ = offer.read(Reader::new(hello));
        offer
    }

    /// RFC 8446, section 4.1.2.
    fn read(&mut self, mut hello: Reader<'a>) -> Option<()> {
        hello.take(4 + 2 + 32)?;
        let _session_id = hello.vec8()?;
        self.suites = hello.vec16()?;
        let _compression = hello.vec8()?;
        let mut extensions = Reader::new(hello.vec16()?);
        while extensions.left() > 0 {
            let (kind, mut value) = (extensions.u16()?, Reader::new(extensions.vec16()?));
            match kind {
                SUPPORTED_VERSIONS => self.versions = value.vec8()?,
                SUPPORTED_GROUPS => self.groups = value.vec16()?,
                KEY_SHARE => self.shares = value.vec16()?,
                _ => {}
            }
        }
        Some(())
    }

    pub(crate) fn has_suite(&self, suite: u16) -> bool {
        has(self.suites, suite)
    }

    /// Of the extension, which TLS 1.3 must be named by (RFC 8446, section 4.2.1).
    pub(crate) fn has_version(&self, version: u16) -> bool {
        has(self.versions, version)
    }

    pub(crate) fn has_group(&self, group: u16) -> bool {
        has(self.groups, group)
    }

    pub(crate) fn has_share(&self, group: u16) -> bool {
        let mut shares = Reader::new(self.shares);
        std::iter::from_fn(|| {
            let of = shares.u16()?;
            shares.vec16().map(|_| of)
        })
        .any(|of| of == group)
    }
}

fn has(list: &[u8], number: u16) -> bool {
    list.as_chunks::<2>().0.contains(&number.to_be_bytes())
}
