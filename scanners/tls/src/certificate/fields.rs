use super::der::{self, DerError, Item, Reader};

/// The certificate cut into its fields (RFC 5280, section 4.1), none of them read yet.
///
/// Cutting needs no more than tags and lengths, so a date that is none, or a name in an odd alphabet, hides no other field.
/// Where a cut fails, the fields before it are here and the rest are `None`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields<'a> {
    /// What is signed, whole.
    pub(crate) tbs: Option<&'a [u8]>,
    /// 1, 2 or 3; what else it says, plus one.
    pub(crate) version: Option<u32>,
    /// The content of the serial number.
    pub(crate) serial: Option<&'a [u8]>,
    /// The name of the issuer, whole.
    pub(crate) issuer: Option<&'a [u8]>,
    pub(crate) not_before: Option<Item<'a>>,
    pub(crate) not_after: Option<Item<'a>>,
    /// The name of the subject, whole.
    pub(crate) subject: Option<&'a [u8]>,
    /// The SubjectPublicKeyInfo, whole.
    pub(crate) key: Option<&'a [u8]>,
    /// All extensions, one after the other.
    extensions: Option<&'a [u8]>,
    /// The AlgorithmIdentifier of the signature, whole.
    pub(crate) algorithm: Option<&'a [u8]>,
    /// The octets of the signature.
    pub(crate) signature: Option<&'a [u8]>,
    /// The cut that failed, and why.
    pub(crate) error: Option<(&'static str, DerError)>,
}

impl<'a> Fields<'a> {
    pub(crate) fn of(certificate: &'a [u8]) -> Self {
        let mut fields = Self::default();
        let mut outer = Reader::new(certificate);
        match outer.expect(der::SEQUENCE) {
            Ok(item) => {
                let cut = fields.cut(item.value);
                let rest =
                    if outer.is_empty() { Ok(()) } else { Err(("certificate", DerError::Rest)) };
                fields.error = cut.and(rest).err();
            }
            Err(error) => fields.error = Some(("certificate", error)),
        }
        fields
    }

    fn cut(&mut self, certificate: &'a [u8]) -> Result<(), (&'static str, DerError)> {
        let named = |name| move |error| (name, error);
        let mut reader = Reader::new(certificate);
        let tbs = reader.expect(der::SEQUENCE).map_err(named("certificate"))?;
        self.tbs = Some(tbs.whole);
        // The signature stands behind all that may be broken.
        let signed = self.cut_signature(&mut reader);
        self.cut_tbs(&mut Reader::new(tbs.value)).and(signed)
    }

    fn cut_signature(&mut self, reader: &mut Reader<'a>) -> Result<(), (&'static str, DerError)> {
        let algorithm = reader.expect(der::SEQUENCE).map_err(|e| ("signature_algorithm", e))?;
        self.algorithm = Some(algorithm.whole);
        let signature = reader.expect(der::BIT_STRING).map_err(|e| ("signature", e))?;
        self.signature = bits(signature.value);
        Ok(())
    }

    fn cut_tbs(&mut self, tbs: &mut Reader<'a>) -> Result<(), (&'static str, DerError)> {
        let named = |name| move |error| (name, error);
        let version = tbs.optional(0xa0).map_err(named("version"))?;
        self.version = Some(match version {
            None => 1,
            Some(version) => {
                let number = der::only(version.value, der::INTEGER).map_err(named("version"))?;
                let number = number.value.iter().take(3).fold(0, |n, o| n << 8 | u32::from(*o));
                number + 1
            }
        });
        self.serial = Some(tbs.expect(der::INTEGER).map_err(named("serial"))?.value);
        tbs.expect(der::SEQUENCE).map_err(named("signature_algorithm"))?;
        self.issuer = Some(tbs.expect(der::SEQUENCE).map_err(named("issuer"))?.whole);
        let validity = tbs.expect(der::SEQUENCE).map_err(named("validity"))?;
        let mut dates = Reader::new(validity.value);
        self.not_before = dates.next().ok();
        self.not_after = dates.next().ok();
        self.subject = Some(tbs.expect(der::SEQUENCE).map_err(named("subject"))?.whole);
        self.key = Some(tbs.expect(der::SEQUENCE).map_err(named("key"))?.whole);
        // issuerUniqueID and subjectUniqueID, which nobody reads.
        for tag in [0x81, 0xa1, 0x82, 0xa2] {
            tbs.optional(tag).map_err(named("unique_id"))?;
        }
        if let Some(extensions) = tbs.optional(0xa3).map_err(named("extensions"))? {
            let list = der::only(extensions.value, der::SEQUENCE).map_err(named("extensions"))?;
            self.extensions = Some(list.value);
        }
        if tbs.is_empty() { Ok(()) } else { Err(("extensions", DerError::Rest)) }
    }

    /// The content of an extension by the content of its object identifier; the first, should there be several.
    pub(crate) fn extension(&self, id: &[u8]) -> Result<Option<&'a [u8]>, DerError> {
        let mut list = Reader::new(self.extensions.unwrap_or_default());
        while !list.is_empty() {
            let mut extension = Reader::new(list.expect(der::SEQUENCE)?.value);
            if extension.expect(der::OID)?.value == id {
                const BOOLEAN: u8 = 0x01;
                extension.optional(BOOLEAN)?;
                return extension.expect(der::OCTET_STRING).map(|item| Some(item.value));
            }
        }
        Ok(None)
    }

    /// Both names are the same, octet by octet.
    pub(crate) fn is_self_issued(&self) -> Option<bool> {
        Some(self.subject? == self.issuer?)
    }
}

/// The octets of a BIT STRING without unused bits.
pub(crate) fn bits(value: &[u8]) -> Option<&[u8]> {
    match value.split_first() {
        Some((0, octets)) => Some(octets),
        _ => None,
    }
}

/// 2.5.29.17
pub(crate) const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
/// 2.5.29.19
pub(crate) const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
