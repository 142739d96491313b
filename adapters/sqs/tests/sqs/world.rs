//! A queue in a cloud of one's own.

use std::{
    io,
    sync::{Arc, Mutex, OnceLock},
    thread,
    time::{Duration, Instant},
};

use mrpf_aws::{Aws, Place};
use mrpf_cloud::{ACCESS_KEY, Call, Cloud, Outcome, QueueSettings, REGION};
use mrpf_ports::{Delivery, Queue, QueueName, conformance::queue::MAX_RECEIVES};
use mrpf_sqs::Sqs;

/// Long enough not to end within a test.
pub(crate) const LONG: Duration = Duration::from_secs(60);
pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// The SDK at an endpoint.
pub(crate) fn aws(endpoint: &str) -> Aws {
    Aws::start_at(&Place {
        endpoint: endpoint.to_owned(),
        region: REGION.to_owned(),
        access_key_id: ACCESS_KEY.to_owned(),
        secret_access_key: "test".to_owned(),
    })
    .unwrap()
}

/// A cloud with one queue.
pub(crate) struct World {
    pub(crate) cloud: Cloud,
    pub(crate) aws: Aws,
    pub(crate) url: String,
    pub(crate) queue: Sqs,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(QueueSettings::default().max_receives(MAX_RECEIVES))
    }

    pub(crate) fn with(settings: QueueSettings) -> Self {
        let cloud = Cloud::start();
        let url = cloud.queues().create("external", &settings);
        let aws = aws(&cloud.endpoint());
        let queue = Sqs::open(&aws, QueueName::External, &url).unwrap();
        Self { cloud, aws, url, queue }
    }

    /// Attempts of an operation that have reached the cloud.
    pub(crate) fn calls(&self, operation: &str) -> Vec<Call> {
        self.cloud.calls().into_iter().filter(|call| call.operation == operation).collect()
    }

    /// Waits until the first poll has reached the cloud.
    #[track_caller]
    pub(crate) fn first_poll_begins(&self) {
        self.wait("a poll", |polls| !polls.is_empty());
    }

    /// Waits until the first poll has got its answer.
    #[track_caller]
    pub(crate) fn first_poll_ends(&self) {
        self.wait("the end of a poll", |polls| polls[0].outcome != Outcome::Open);
    }

    #[track_caller]
    fn wait(&self, what: &str, is_so: impl Fn(&[Call]) -> bool) {
        let end = Instant::now() + 20 * SECOND;
        while !is_so(&self.calls("ReceiveMessage")) {
            assert!(Instant::now() < end, "not within 20 s: {what}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// One message, sent and received.
    pub(crate) fn one(&self) -> Delivery {
        self.queue.send(&["a".to_owned()]).unwrap();
        self.queue.receive(1, SECOND, LONG).unwrap().remove(0)
    }
}

/// What this process has logged so far, of all tests.
pub(crate) fn log() -> String {
    String::from_utf8_lossy(&lines().lock().unwrap()).into_owned()
}

/// Begins to keep what is logged.
pub(crate) fn keep_log() {
    static KEPT: OnceLock<()> = OnceLock::new();
    KEPT.get_or_init(|| {
        tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(tracing::Level::WARN)
            .with_writer(|| Log(Arc::clone(lines())))
            .init();
    });
}

fn lines() -> &'static Arc<Mutex<Vec<u8>>> {
    static LINES: OnceLock<Arc<Mutex<Vec<u8>>>> = OnceLock::new();
    LINES.get_or_init(Arc::default)
}

struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
