//! One queue.

use std::{fmt, sync::Arc, time::Duration};

use aws_sdk_sqs::{Client, config::timeout::TimeoutConfig, types::QueueAttributeName as Attribute};
use mrpf_aws::{Aws, TellsRetries};
use mrpf_ports::{Handle, QueueError, QueueName, queue::Depth};

use crate::{
    home::Home,
    redrive::Redrive,
    refusal::{Name, variable},
};

/// What a queue takes that does not say.
const USUAL_SIZE: usize = 1_024 * 1_024;
/// Of calls that do not wait for messages: three attempts are over long before a lease of a minute is.
const ANSWER: Duration = Duration::from_secs(10);
/// With the time that a batch of a mebibyte takes.
const ATTEMPT: Duration = Duration::from_secs(15);
/// Nothing may stay hidden for longer.
const LONGEST_HIDDEN: Duration = Duration::from_secs(12 * 60 * 60);

/// A client of SQS that says in the log what it tries again.
pub fn client(aws: &Aws) -> Client {
    let config = aws_sdk_sqs::config::Builder::from(aws.config()).interceptor(TellsRetries);
    Client::from_conf(config.build())
}

/// A queue at a URL, for programs on tokio; its timers must be enabled. Copies are of the same queue.
#[derive(Clone)]
pub struct SqsQueue {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    /// Waits as long as it was given to.
    pub(crate) polls: Client,
    /// For everything else.
    pub(crate) client: Client,
    pub(crate) home: Home,
    pub(crate) name: Name,
    /// Most octets of a message, and of a batch.
    pub(crate) limit: usize,
    max_receives: Option<u32>,
    dead: Option<SqsQueue>,
}

impl SqsQueue {
    /// Asks the queue what it takes, and where its dead letters go. To be called on the runtime that the queue is then used on.
    ///
    /// # Errors
    ///
    /// [`QueueError::Unavailable`]: there is none at this URL, or it may not be asked; says what to mend.
    pub async fn open(client: Client, name: QueueName, url: &str) -> Result<Self, QueueError> {
        let home = Home::Runtime(tokio::runtime::Handle::current());
        Self::open_at(home, client, name, url.to_owned()).await
    }

    pub(crate) async fn open_at(
        home: Home,
        client: Client,
        queue: QueueName,
        url: String,
    ) -> Result<Self, QueueError> {
        let region = client.config().region().map(ToString::to_string).unwrap_or_default();
        let found_in = variable(queue).to_owned();
        let name = Name { queue: queue.to_string(), url, found_in, region };
        let (polls, client) = (client.clone(), in_haste(&client));
        let (limit, redrive) = ask(&client, &name).await?;
        let Some(redrive) = redrive else {
            tracing::warn!(
                queue = %name.queue,
                "the queue has no RedrivePolicy: a message that ends its workers comes for ever, and the manager never hears of it"
            );
            let (max_receives, dead) = (None, None);
            let inner = Inner { polls, client, home, name, limit, max_receives, dead };
            return Ok(Self { inner: Arc::new(inner) });
        };
        let max_receives = Some(redrive.max_receives);
        let (name_of_dead, limit_of_dead) = find_dead(&client, &name, redrive).await?;
        let dead = Inner {
            polls: polls.clone(),
            client: client.clone(),
            home: home.clone(),
            name: name_of_dead,
            limit: limit_of_dead,
            max_receives: None,
            dead: None,
        };
        let dead = Some(Self { inner: Arc::new(dead) });
        Ok(Self { inner: Arc::new(Inner { polls, client, home, name, limit, max_receives, dead }) })
    }

    /// Its URL.
    pub fn url(&self) -> &str {
        &self.inner.name.url
    }

    /// Most octets of a message; a batch has no more either.
    pub fn limit(&self) -> usize {
        self.inner.limit
    }

    /// Deliveries of a message; instead of one more it becomes a dead letter. `None`: it never does.
    pub fn max_receives(&self) -> Option<u32> {
        self.inner.max_receives
    }

    /// The dead letters of this queue; `None` for one that is such itself, and where there is no RedrivePolicy.
    pub fn dead_letters(&self) -> Option<&Self> {
        self.inner.dead.as_ref()
    }

    /// Hides a received message for `visibility` from now, 12 hours at most; zero shows it to others at once.
    ///
    /// # Errors
    ///
    /// [`QueueError::LeaseLost`] when it is visible again already, was received by another or is gone.
    pub async fn extend(&self, handle: &Handle, visibility: Duration) -> Result<(), QueueError> {
        let Inner { client, name, .. } = &*self.inner;
        // The service would say that a parameter is missing.
        if handle.0.is_empty() {
            return Err(name.lost());
        }
        client
            .change_message_visibility()
            .queue_url(&name.url)
            .receipt_handle(&handle.0)
            .visibility_timeout(hidden(visibility))
            .send()
            .await
            .map(drop)
            .map_err(|error| name.failed("SQS ChangeMessageVisibility", &error))
    }

    /// About how many messages there are: a hint, up to a minute late.
    ///
    /// # Errors
    ///
    /// [`QueueError::Unavailable`].
    pub async fn depth(&self) -> Result<Depth, QueueError> {
        let Inner { client, name, .. } = &*self.inner;
        let answer = client
            .get_queue_attributes()
            .queue_url(&name.url)
            .attribute_names(Attribute::ApproximateNumberOfMessages)
            .attribute_names(Attribute::ApproximateNumberOfMessagesNotVisible)
            .send()
            .await
            .map_err(|error| name.failed("SQS GetQueueAttributes", &error))?;
        let count = |attribute| {
            answer.attributes()?.get(&attribute).and_then(|count: &String| count.parse().ok())
        };
        Ok(Depth {
            visible: count(Attribute::ApproximateNumberOfMessages).unwrap_or_default(),
            in_flight: count(Attribute::ApproximateNumberOfMessagesNotVisible).unwrap_or_default(),
        })
    }
}

impl fmt::Debug for SqsQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Name { queue, url, .. } = &self.inner.name;
        f.debug_struct("SqsQueue").field("queue", queue).field("url", url).finish_non_exhaustive()
    }
}

/// What a queue takes, and where its dead letters go.
async fn ask(client: &Client, name: &Name) -> Result<(usize, Option<Redrive>), QueueError> {
    let answer = client
        .get_queue_attributes()
        .queue_url(&name.url)
        .attribute_names(Attribute::MaximumMessageSize)
        .attribute_names(Attribute::RedrivePolicy)
        .send()
        .await
        .map_err(|error| name.failed("SQS GetQueueAttributes", &error))?;
    let attribute = |attribute| answer.attributes().and_then(|all| all.get(&attribute));
    let limit = attribute(Attribute::MaximumMessageSize).and_then(|size| size.parse().ok());
    let redrive = attribute(Attribute::RedrivePolicy).map(|policy| {
        let unreadable = || name.unavailable(format!("its RedrivePolicy makes no sense: {policy}"));
        Redrive::read(policy).ok_or_else(unreadable)
    });
    Ok((limit.unwrap_or(USUAL_SIZE), redrive.transpose()?))
}

/// The dead letters of a queue, and the size of what they take.
async fn find_dead(
    client: &Client,
    of: &Name,
    redrive: Redrive,
) -> Result<(Name, usize), QueueError> {
    let mut name = Name {
        queue: format!("{} dead-letter", of.queue),
        url: redrive.queue.clone(),
        found_in: format!("the RedrivePolicy of the {} queue", of.queue),
        region: of.region.clone(),
    };
    let answer = client
        .get_queue_url()
        .queue_name(redrive.queue)
        .queue_owner_aws_account_id(redrive.account)
        .send()
        .await
        .map_err(|error| name.failed("SQS GetQueueUrl", &error))?;
    let without = || name.unavailable("SQS GetQueueUrl: an answer without a URL");
    name.url = answer.queue_url.ok_or_else(without)?;
    let (limit, _) = ask(client, &name).await?;
    Ok((name, limit))
}

/// The same client, which gives up on an answer sooner than a poll may take.
fn in_haste(client: &Client) -> Client {
    let timeouts = TimeoutConfig::builder().read_timeout(ANSWER).operation_attempt_timeout(ATTEMPT);
    let given = client.config().timeout_config().cloned();
    let timeouts =
        timeouts.take_unset_from(given.map(TimeoutConfig::into_builder).unwrap_or_default());
    Client::from_conf(client.config().to_builder().timeout_config(timeouts.build()).build())
}

/// In whole seconds, as SQS counts, and no less than was asked for.
pub(crate) fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0))
}

pub(crate) fn hidden(visibility: Duration) -> i32 {
    i32::try_from(whole_seconds(visibility.min(LONGEST_HIDDEN))).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_whole_seconds_and_no_less_than_asked_for() {
        let seconds = |millis| whole_seconds(Duration::from_millis(millis));
        assert_eq!([0, 1, 999, 1_000, 1_001].map(seconds), [0, 1, 1, 1, 2]);
        assert_eq!(hidden(Duration::from_secs(43_199)), 43_199);
        assert_eq!(hidden(Duration::from_millis(43_199_001)), 43_200);
        assert_eq!(hidden(Duration::MAX), 43_200);
    }
}
