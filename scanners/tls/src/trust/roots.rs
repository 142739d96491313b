use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use rustls_pki_types::{
    CertificateDer, TrustAnchor,
    pem::{self, PemObject as _},
};
use thiserror::Error;

/// Whom to trust.
#[derive(Clone, Debug)]
pub struct Roots {
    anchors: Vec<TrustAnchor<'static>>,
    about: String,
}

/// Why a file gives no roots.
#[derive(Debug, Error)]
pub enum RootsError {
    /// The file cannot be read.
    #[error("cannot read roots from {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is no PEM.
    #[error("{}: certificate {number}: is no PEM: {reason}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// Which certificate, from 1.
        number: usize,
        /// Why.
        reason: pem::Error,
    },
    /// A certificate in the file cannot be a root.
    #[error("{}: certificate {number}: cannot be a root: {source}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Which certificate, from 1.
        number: usize,
        /// Why.
        source: webpki::Error,
    },
    /// The file has no certificate.
    #[error("{} has no certificate: one begins with -----BEGIN CERTIFICATE-----", .0.display())]
    Empty(PathBuf),
}

impl Roots {
    /// The version of the webpki-roots crate, whose set this is, and the day that it was published. The set is that of
    /// Mozilla's CCADB report of that day: <https://ccadb.org>.
    pub const MOZILLA: (&'static str, &'static str) = ("1.0.10", "2026-10-19");

    /// Those that Mozilla trusts for TLS servers.
    pub fn mozilla() -> Self {
        let (version, day) = Self::MOZILLA;
        Self {
            anchors: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
            about: format!("Mozilla's roots of {day} (webpki-roots {version})"),
        }
    }

    /// Those in a PEM file; what else stands in it is passed over.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, has none, or has one that cannot be a root: a root that is missing without a word
    /// would make honest hosts look untrusted.
    pub fn from_pem(path: &Path) -> Result<Self, RootsError> {
        let at = || path.to_owned();
        let text = std::fs::read(path).map_err(|source| RootsError::Read { path: at(), source })?;
        let mut anchors = Vec::new();
        for (n, certificate) in CertificateDer::pem_slice_iter(&text).enumerate() {
            let number = n + 1;
            let certificate =
                certificate.map_err(|reason| RootsError::Pem { path: at(), number, reason })?;
            let anchor = webpki::anchor_from_trusted_cert(&certificate)
                .map_err(|source| RootsError::Certificate { path: at(), number, source })?;
            anchors.push(anchor.to_owned());
        }
        if anchors.is_empty() {
            return Err(RootsError::Empty(at()));
        }
        let about = format!("{} roots of {}", anchors.len(), path.display());
        Ok(Self { anchors, about })
    }

    pub(super) fn anchors(&self) -> &[TrustAnchor<'static>] {
        &self.anchors
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.anchors.len()
    }
}

impl fmt::Display for Roots {
    /// Whose they are, and of which day or file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.about)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_one_that_is_built_in() {
        let lock = include_str!("../../../../Cargo.lock");
        let (version, _) = Roots::MOZILLA;
        let entry = format!("name = \"webpki-roots\"\nversion = \"{version}\"");
        assert!(lock.contains(&entry), "Roots::MOZILLA is of another version: look up its day");
        assert!(Roots::mozilla().count() > 100);
    }

    #[test]
    fn files_that_give_no_roots_say_why() {
        let dir = std::env::temp_dir().join(format!("mrpf-roots-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let read = |name: &str, text: &[u8]| {
            let path = dir.join(name);
            std::fs::write(&path, text).unwrap();
            Roots::from_pem(&path)
        };
        assert!(matches!(Roots::from_pem(&dir.join("none")), Err(RootsError::Read { .. })));
        assert!(matches!(read("empty", b"# nothing\n"), Err(RootsError::Empty(_))));
        let cut = b"-----BEGIN CERTIFICATE-----\nMAA=\n";
        assert!(matches!(read("cut", cut), Err(RootsError::Pem { number: 1, .. })));
        let other = b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        let error = read("other", other).unwrap_err();
        assert!(matches!(error, RootsError::Certificate { number: 1, .. }));
        assert!(
            error.to_string().ends_with("other: certificate 1: cannot be a root: BadDer"),
            "{error}"
        );
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
