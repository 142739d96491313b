//! One queue: the life of its messages.
//!
//! ```text
//!             delay           .--> visible --receive--> in flight --delete--> gone
//!   send ------------> hidden-'       ^                  |  |  ^
//!                                     '--timeout, to 0---'  '--' change of visibility
//!                                     |
//!                                     '--received max_receives times--> dead letters
//! ```
//!
//! Where a message is follows from the clock, so nothing runs. A receipt handle is the number of the message with that of the
//! delivery: each delivery makes the handles before it old.

use std::{collections::BTreeMap, time::Duration};

use super::{attributes::Attributes, error::old, faults::QueueFaults, members::invalid_value};
use crate::{clock::Moment, failure::Failure};

/// The longest that a message can be hidden, from its receive.
const MOST_VISIBILITY: Duration = Duration::from_secs(43_200);
/// Messages that a disordered receive shuffles.
const SHUFFLED: usize = 256;

#[derive(Debug)]
pub(super) struct Queue {
    pub(super) name: String,
    pub(super) url: String,
    pub(super) arn: String,
    pub(super) attributes: Attributes,
    pub(super) created_at: Moment,
    pub(super) modified_at: Moment,
    pub(super) faults: QueueFaults,
    messages: BTreeMap<u64, Message>,
    sent: u64,
    short_polls: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) id: String,
    pub(super) body: String,
    pub(super) sent_at: Moment,
    /// Not before: it was sent with a delay.
    shows_at: Moment,
    visible_at: Moment,
    /// Of this queue; those of all are what clients see.
    receives: u32,
    pub(super) receives_of_all: u32,
    pub(super) first_received_at: Option<Moment>,
    received_at: Moment,
    /// The queue whose dead letter it is.
    pub(super) source: Option<String>,
}

/// What a receive asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Take {
    pub(super) max: usize,
    pub(super) visibility: Duration,
    pub(super) is_short: bool,
    /// How many messages may be in flight.
    pub(super) limit: usize,
}

/// What it gives.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) delivered: Vec<(String, Message)>,
    pub(super) dead: Vec<Message>,
}

/// Where the messages of a queue are.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Depth {
    /// Can be received.
    pub visible: usize,
    /// Were received and not deleted.
    pub in_flight: usize,
    /// Cannot be received yet.
    pub delayed: usize,
}

impl Queue {
    pub(super) fn new(
        name: &str,
        url: String,
        arn: String,
        attributes: Attributes,
        now: Moment,
    ) -> Self {
        Self {
            name: name.to_owned(),
            url,
            arn,
            attributes,
            created_at: now,
            modified_at: now,
            faults: QueueFaults::default(),
            messages: BTreeMap::new(),
            sent: 0,
            short_polls: 0,
        }
    }

    pub(super) fn put(&mut self, id: String, body: String, delay: Option<Duration>, now: Moment) {
        let delay = delay.unwrap_or_else(|| self.attributes.delay());
        self.add(Message {
            id,
            body,
            sent_at: now,
            shows_at: now + delay.max(self.faults.appears_after),
            visible_at: now,
            receives: 0,
            receives_of_all: 0,
            first_received_at: None,
            received_at: now,
            source: None,
        });
    }

    /// Takes a dead letter of another queue.
    pub(super) fn bury(&mut self, message: Message, source: &str, now: Moment) {
        let source = Some(source.to_owned());
        self.add(Message { source, receives: 0, shows_at: now, visible_at: now, ..message });
    }

    fn add(&mut self, message: Message) {
        self.messages.insert(self.sent, message);
        self.sent += 1;
    }

    pub(super) fn depth(&self, now: Moment) -> Depth {
        let mut depth = Depth::default();
        for message in self.messages.values() {
            match message.place(now) {
                Place::Delayed => depth.delayed += 1,
                Place::Visible => depth.visible += 1,
                Place::InFlight => depth.in_flight += 1,
            }
        }
        depth
    }

    pub(super) fn messages(&self) -> impl Iterator<Item = &Message> {
        self.messages.values()
    }

    pub(super) fn take(&mut self, take: Take, now: Moment) -> Result<Taken, Failure> {
        let retention = self.attributes.retention();
        self.messages.retain(|_, message| message.sent_at + retention > now);
        if self.messages.len() >= take.limit && self.depth(now).in_flight >= take.limit {
            return Err(Failure::new("OverLimit", "Too many messages in flight."));
        }
        self.short_polls += u64::from(take.is_short);
        let most = if self.faults.is_disordered { take.max.max(SHUFFLED) } else { take.max };
        let max_receives = self.attributes.redrive().map(|redrive| redrive.max_receives);
        let (mut spent, mut due) = (Vec::new(), Vec::new());
        for (number, message) in &self.messages {
            let is_missed = take.is_short && self.faults.is_missed(*number, self.short_polls);
            if due.len() == most || is_missed || message.place(now) != Place::Visible {
                continue;
            }
            let is_spent = max_receives.is_some_and(|most| message.receives >= most);
            let list = if is_spent { &mut spent } else { &mut due };
            list.push((self.faults.place(*number, message.receives), *number));
        }
        due.sort_unstable();
        due.truncate(take.max);
        let dead = spent.iter().filter_map(|(_, number)| self.messages.remove(number)).collect();
        let delivered =
            due.iter().filter_map(|(_, number)| self.deliver(*number, take, now)).collect();
        Ok(Taken { delivered, dead })
    }

    fn deliver(&mut self, number: u64, take: Take, now: Moment) -> Option<(String, Message)> {
        let message = self.messages.get_mut(&number)?;
        let drawn = message.receives;
        message.receives += 1;
        message.receives_of_all += 1;
        message.first_received_at.get_or_insert(now);
        message.received_at = now;
        let hidden =
            if self.faults.is_stale(number, drawn) { Duration::ZERO } else { take.visibility };
        message.visible_at = now + hidden;
        let delivered = message.clone();
        if self.faults.is_duplicate(number, drawn) {
            self.add(Message { visible_at: now, ..delivered.clone() });
        }
        Some((self.handle(number, delivered.receives), delivered))
    }

    /// Removes a message. An old handle removes nothing, and nobody is told.
    pub(super) fn delete(&mut self, handle: &str) -> Result<(), Failure> {
        let (number, receives) = self.number(handle)?;
        if self.messages.get(&number).is_some_and(|message| message.receives == receives) {
            self.messages.remove(&number);
        }
        Ok(())
    }

    /// Hides a message for so long from now.
    pub(super) fn change(
        &mut self,
        handle: &str,
        hidden: Duration,
        now: Moment,
    ) -> Result<(), Failure> {
        let (number, receives) = self.number(handle)?;
        let Some(message) = self.messages.get_mut(&number) else {
            let reason =
                "Message does not exist or is not available for visibility timeout change.";
            let failure = invalid_value(handle, "ReceiptHandle", reason);
            // Leases are lost; the client is not wrong.
            return Err(Failure { is_misuse: false, ..failure });
        };
        if message.receives != receives {
            return Err(bad_handle(handle));
        }
        if message.place(now) != Place::InFlight {
            return Err(old("MessageNotInflight", "The specified message isn't in flight."));
        }
        if now + hidden > message.received_at + MOST_VISIBILITY {
            let limit = MOST_VISIBILITY.as_secs();
            let reason = format!(
                "Total VisibilityTimeout for the message is beyond the limit [{limit} seconds]"
            );
            return Err(invalid_value(&hidden.as_secs().to_string(), "VisibilityTimeout", &reason));
        }
        message.visible_at = now + hidden;
        Ok(())
    }

    /// Opaque to clients: nothing in it reads like what it is.
    fn handle(&self, number: u64, receives: u32) -> String {
        let text = format!("{}/{number}/{receives}", self.name);
        text.bytes().fold("AQEB".to_owned(), |handle, octet| format!("{handle}{octet:02x}"))
    }

    fn number(&self, handle: &str) -> Result<(u64, u32), Failure> {
        self.read_handle(handle).ok_or_else(|| Failure { is_misuse: true, ..bad_handle(handle) })
    }

    fn read_handle(&self, handle: &str) -> Option<(u64, u32)> {
        let digits = handle.strip_prefix("AQEB").filter(|digits| digits.is_ascii())?;
        let octets: Option<Vec<u8>> = (0..digits.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok())
            .collect();
        let text = String::from_utf8(octets?).ok()?;
        let (number, receives) =
            text.strip_prefix(&self.name)?.strip_prefix('/')?.split_once('/')?;
        Some((number.parse().ok()?, receives.parse().ok()?))
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Place {
    Delayed,
    Visible,
    InFlight,
}

impl Message {
    pub(super) fn place(&self, now: Moment) -> Place {
        match () {
            () if self.shows_at > now => Place::Delayed,
            () if self.visible_at > now => Place::InFlight,
            () => Place::Visible,
        }
    }
}

fn bad_handle(handle: &str) -> Failure {
    let why = format!("The input receipt handle \"{handle}\" is not a valid receipt handle.");
    Failure::new("ReceiptHandleIsInvalid", why)
}
