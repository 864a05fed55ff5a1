//! Every kind of store, for tests that hold for all of them; a PostgreSQL server of our own among them, where it is installed.

use ringfence_book::Number;
use ringfence_phonebook::store::{NextKey, Row};
use ringfence_phonebook::{MemoryStore, Store};

use crate::stores::NOW;

/// A decoy of which every byte is this one, and whose next ring key is due in a minute.
pub(crate) fn row(number: Number, byte: u8) -> Row {
    Row {
        number,
        record: [byte; 192],
        epoch: 0,
        listed: false,
        next: NextKey {
            generation: 0,
            due: NOW + 60,
        },
    }
}

/// Runs the test once for each kind of store. The closure gives a store that sees what earlier ones of the same test kept, or
/// `None` where nothing outlives the first.
pub(crate) fn with_each_store(test: impl Fn(&mut dyn FnMut() -> Option<Box<dyn Store>>)) {
    let mut memory = Some(MemoryStore::new());
    test(&mut || memory.take().map(|store| Box::new(store) as Box<dyn Store>));
    #[cfg(feature = "sql")]
    {
        use crate::stores::cluster;
        use ringfence_phonebook::store::sql::SqlStore;

        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let path = folder.path().join("book.sqlite");
        test(&mut || {
            let store = SqlStore::sqlite(&path, runtime.handle().clone());
            Some(Box::new(store.unwrap()))
        });
        if let Some(cluster) = cluster::running() {
            let url = cluster.new_database(&runtime);
            test(&mut || {
                let store = SqlStore::postgres(&url, runtime.handle().clone());
                Some(Box::new(store.unwrap()))
            });
        }
    }
}
