//! The store's suite on SQLite.

use mrpf_embedded::SqliteStore;
use mrpf_ports::{ManagerStore, conformance::store::Bench};
use tempfile::TempDir;

struct InAFile {
    folder: TempDir,
    store: SqliteStore,
}

impl InAFile {
    fn make() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path().join("store.db")).unwrap();
        Self { folder, store }
    }
}

impl Bench for InAFile {
    fn store(&self) -> &dyn ManagerStore {
        &self.store
    }

    fn other(&self) -> Box<dyn ManagerStore> {
        Box::new(SqliteStore::open(self.folder.path().join("store.db")).unwrap())
    }
}

mrpf_ports::store_conformance!(InAFile::make);
