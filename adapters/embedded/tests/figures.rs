//! How long things take here: printed, not judged. `cargo test -p mrpf_embedded --test figures -- --nocapture`

use std::{
    thread,
    time::{Duration, Instant, SystemTime},
};

use mrpf_embedded::{QueueSettings, Queues, SqliteStore};
use mrpf_ports::{
    ManagerStore as _, Queue as _, QueueName, WorkerStore as _,
    clock::after,
    store::{DomainRow, ModelRow, SeenCount},
};
use mrpf_records::Timestamp;

#[test]
fn fifty_thousand_domains() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("store.db")).unwrap();
    let rows: Vec<ModelRow> = (0..50_000_u32)
        .map(|n| {
            let name = format!("host-{:x}.example.org", n.wrapping_mul(0x9e37_79b9));
            let sources = vec!["crt.sh".to_owned()];
            ModelRow::Domain(DomainRow { name: name.parse().unwrap(), sources, seen: None })
        })
        .collect();
    let at: Timestamp = SystemTime::now().into();
    for (what, at, count) in [
        ("new", at, SeenCount { new: 50_000, known: 0 }),
        ("again", after(at, Duration::from_secs(9)), SeenCount { new: 0, known: 50_000 }),
    ] {
        let start = Instant::now();
        assert_eq!(store.upsert(&rows, at).unwrap(), count);
        println!("figures: 50,000 domains, {what}: {:.3} s", start.elapsed().as_secs_f64());
    }
}

#[test]
fn commits_of_the_store() {
    const COMMITS: u32 = 200;
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("store.db")).unwrap();
    for threads in [1, 8] {
        let start = Instant::now();
        thread::scope(|scope| {
            for n in 0..threads {
                let store = &store;
                scope.spawn(move || {
                    for _ in 0..COMMITS / threads {
                        let now = SystemTime::now().into();
                        store.transaction(&mut |tx| tx.put_pace(&n.to_string(), now)).unwrap();
                    }
                });
            }
        });
        let each = start.elapsed() / COMMITS;
        println!("figures: a durable commit of the store, {threads} threads: {each:?}");
    }
}

#[test]
fn messages_of_a_queue() {
    const MESSAGES: usize = 10_000;
    let folder = tempfile::tempdir().unwrap();
    let queues = Queues::open(folder.path().join("queue.db"), QueueSettings::default()).unwrap();
    let queue = queues.get(QueueName::Internal);
    for batch in [1, 10] {
        let start = Instant::now();
        let bodies: Vec<String> = (0..MESSAGES).map(|n| format!("{n:0500}")).collect();
        bodies.chunks(batch).for_each(|bodies| queue.send(bodies).unwrap());
        let mut received = 0;
        while received < MESSAGES {
            let taken = queue.receive(batch, Duration::ZERO, Duration::from_secs(60)).unwrap();
            received += taken.len();
            let handles: Vec<_> = taken.into_iter().map(|delivery| delivery.handle).collect();
            queue.delete(&handles).unwrap();
        }
        let rate = MESSAGES as f64 / start.elapsed().as_secs_f64();
        println!("figures: sent, received and deleted by {batch}: {rate:.0} messages a second");
    }
}
