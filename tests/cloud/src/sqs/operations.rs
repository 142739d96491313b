//! The operations on one queue or one message.

use std::{collections::BTreeMap, thread, time::Duration};

use serde_json::{Map, Value, json};

use super::{
    Sqs, State,
    attributes::Attributes,
    error::old_misuse,
    members::{Members, invalid_value, missing},
    queue::{Message, Queue, Take},
};
use crate::{ACCOUNT, REGION, clock::Moment, digest::md5_hex, failure::Failure};

/// Between two looks of a poll that waits.
const LOOK: Duration = Duration::from_millis(10);
const MOST_VISIBILITY_SECS: u64 = 43_200;
const MESSAGE_ATTRIBUTES: [&str; 10] = [
    "All",
    "AWSTraceHeader",
    "ApproximateFirstReceiveTimestamp",
    "ApproximateReceiveCount",
    "DeadLetterQueueSourceArn",
    "MessageDeduplicationId",
    "MessageGroupId",
    "SenderId",
    "SentTimestamp",
    "SequenceNumber",
];

impl Sqs {
    pub(super) fn create_queue(&self, params: &Value) -> Result<Value, Failure> {
        let mut members = Members::of(params)?;
        let name = members.required_text("QueueName")?;
        let given = members.map("Attributes")?.unwrap_or_default();
        members.finish()?;
        let url = self.create(&name, &given)?;
        Ok(json!({ "QueueUrl": url }))
    }

    /// Makes a queue; the same again is no error.
    pub(super) fn create(
        &self,
        name: &str,
        given: &BTreeMap<String, String>,
    ) -> Result<String, Failure> {
        let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
        if name.is_empty() || name.len() > 80 || !name.chars().all(is_letter) {
            let reason = "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length";
            return Err(invalid_value(name, "QueueName", reason));
        }
        let mut state = self.lock();
        let url = format!("{}/{ACCOUNT}/{name}", self.endpoint);
        if let Some(queue) = state.queues.get(&url) {
            let Some(name) = queue.attributes.difference(given) else { return Ok(url) };
            let why = format!(
                "A queue already exists with the same name and a different value for attribute {name}"
            );
            return Err(Failure::misuse("QueueAlreadyExists", why));
        }
        let mut attributes = Attributes::default();
        attributes.set(given, |arn| state.is_queue(arn))?;
        let arn = format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{name}");
        let mut queue = Queue::new(name, url.clone(), arn, attributes, self.clock.now());
        queue.faults = state.faults;
        state.queues.insert(url.clone(), queue);
        Ok(url)
    }

    pub(super) fn get_queue_url(&self, params: &Value) -> Result<Value, Failure> {
        let mut members = Members::of(params)?;
        let name = members.required_text("QueueName")?;
        let owner = members.text("QueueOwnerAWSAccountId")?;
        members.finish()?;
        let owner = owner.as_deref().unwrap_or(ACCOUNT);
        let url = format!("{}/{owner}/{name}", self.endpoint);
        let url = self.lock().queue(&url)?.url.clone();
        Ok(json!({ "QueueUrl": url }))
    }

    pub(super) fn get_queue_attributes(&self, params: &Value) -> Result<Value, Failure> {
        let mut members = Members::of(params)?;
        let url = members.required_text("QueueUrl")?;
        let names = members.texts("AttributeNames")?;
        members.finish()?;
        names.iter().try_for_each(|name| Attributes::check_name(name))?;
        let mut state = self.lock();
        let queue = state.queue(&url)?;
        let depth = queue.depth(self.clock.now());
        let mut all = queue.attributes.all();
        let counted = [
            ("ApproximateNumberOfMessages", depth.visible.to_string()),
            ("ApproximateNumberOfMessagesDelayed", depth.delayed.to_string()),
            ("ApproximateNumberOfMessagesNotVisible", depth.in_flight.to_string()),
            ("CreatedTimestamp", queue.created_at.as_secs().to_string()),
            ("LastModifiedTimestamp", queue.modified_at.as_secs().to_string()),
            ("QueueArn", queue.arn.clone()),
        ];
        all.extend(counted.map(|(name, value)| (name.to_owned(), value)));
        let is_all = names.iter().any(|name| name == "All");
        all.retain(|name, _| is_all || names.contains(name));
        // As AWS does: without names there is no member at all.
        Ok(if all.is_empty() { json!({}) } else { json!({ "Attributes": all }) })
    }

    pub(super) fn set_queue_attributes(&self, params: &Value) -> Result<Value, Failure> {
        let mut members = Members::of(params)?;
        let url = members.required_text("QueueUrl")?;
        let given = members.map("Attributes")?.ok_or_else(|| missing("Attributes"))?;
        members.finish()?;
        let mut state = self.lock();
        let mut attributes = state.queue(&url)?.attributes.clone();
        attributes.set(&given, |arn| state.is_queue(arn))?;
        let queue = state.queue(&url)?;
        queue.attributes = attributes;
        queue.modified_at = self.clock.now();
        Ok(Value::Null)
    }

    pub(super) fn send_message(&self, params: &Value) -> Result<Value, Failure> {
        let mut members = Members::of(params)?;
        let url = members.required_text("QueueUrl")?;
        let mut state = self.lock();
        let queue = state.queue(&url)?;
        let (body, delay) = message(&mut members, queue)?;
        members.finish()?;
        let id = uuid::Uuid::new_v4().to_string();
        let sum = md5_hex(body.as_bytes());
        queue.put(id.clone(), body, delay, self.clock.now());
        Ok(json!({ "MD5OfMessageBody": sum, "MessageId": id }))
    }

    pub(super) fn receive_message(
        &self,
        params: &Value,
        is_gone: &dyn Fn() -> bool,
    ) -> Result<Value, Failure> {
        let mut members = Members::of(params)?;
        let url = members.required_text("QueueUrl")?;
        let max = members.number("MaxNumberOfMessages", 1..=10)?.unwrap_or(1);
        let visibility = members.number("VisibilityTimeout", 0..=MOST_VISIBILITY_SECS)?;
        let wait = members.number("WaitTimeSeconds", 0..=20)?;
        let mut names = members.texts("MessageSystemAttributeNames")?;
        names.extend(members.texts("AttributeNames")?);
        // There are none, so asking for them is no harm.
        members.texts("MessageAttributeNames")?;
        members.finish()?;
        if let Some(name) = names.iter().find(|name| !MESSAGE_ATTRIBUTES.contains(&name.as_str())) {
            let why = format!("Unknown Attribute {name}.");
            return Err(Failure::misuse("InvalidAttributeName", why));
        }
        let asked_at = self.clock.now();
        loop {
            let mut state = self.lock();
            let limit = state.limit;
            let queue = state.queue(&url)?;
            let wait = wait.map_or_else(|| queue.attributes.wait(), Duration::from_secs);
            let take = Take {
                max: usize::try_from(max).unwrap_or(1),
                visibility: visibility
                    .map_or_else(|| queue.attributes.visibility(), Duration::from_secs),
                is_short: wait.is_zero(),
                limit,
            };
            let now = self.clock.now();
            // What is given to one who hung up is hidden from all others.
            let is_over = !wait.is_zero() && is_gone();
            let delivered = if is_over { Vec::new() } else { state.take(&url, take, now)? };
            if is_over || !delivered.is_empty() || now >= asked_at + wait {
                let messages: Vec<_> = delivered
                    .iter()
                    .map(|(handle, message)| delivery(handle, message, &names))
                    .collect();
                // As AWS does: of no message there is no list.
                let is_empty = messages.is_empty();
                return Ok(if is_empty { json!({}) } else { json!({ "Messages": messages }) });
            }
            drop(state);
            thread::sleep(LOOK.min(asked_at + wait - now));
        }
    }

    pub(super) fn change_visibility(&self, params: &Value) -> Result<Value, Failure> {
        let mut members = Members::of(params)?;
        let url = members.required_text("QueueUrl")?;
        let (handle, hidden) = visibility(&mut members)?;
        members.finish()?;
        self.lock().queue(&url)?.change(&handle, hidden, self.clock.now())?;
        Ok(Value::Null)
    }

    pub(super) fn delete_message(&self, params: &Value) -> Result<Value, Failure> {
        let mut members = Members::of(params)?;
        let url = members.required_text("QueueUrl")?;
        let handle = members.required_text("ReceiptHandle")?;
        members.finish()?;
        self.lock().queue(&url)?.delete(&handle)?;
        Ok(Value::Null)
    }
}

impl State {
    /// Takes messages out of a queue, and moves those that were received too often.
    fn take(
        &mut self,
        url: &str,
        take: Take,
        now: Moment,
    ) -> Result<Vec<(String, Message)>, Failure> {
        let queue = self.queue(url)?;
        let taken = queue.take(take, now)?;
        let source = queue.arn.clone();
        let dead_letters = queue.attributes.redrive().map(|redrive| redrive.dead_letters.clone());
        let grave =
            self.queues.values_mut().find(|queue| Some(&queue.arn) == dead_letters.as_ref());
        if let Some(grave) = grave {
            taken.dead.into_iter().for_each(|message| grave.bury(message, &source, now));
        }
        Ok(taken.delivered)
    }
}

/// A message to send: body and delay.
pub(super) fn message(
    members: &mut Members,
    queue: &Queue,
) -> Result<(String, Option<Duration>), Failure> {
    let body = members.text("MessageBody")?.filter(|body| !body.is_empty());
    let body = body.ok_or_else(|| missing("MessageBody"))?;
    let delay = members.number("DelaySeconds", 0..=900)?.map(Duration::from_secs);
    let most = queue.attributes.max_octets();
    if body.len() > most {
        let why = format!(
            "One or more parameters are invalid. Reason: Message must be shorter than {most} bytes."
        );
        return Err(Failure::misuse("InvalidParameterValue", why));
    }
    match body.chars().find(|letter| !is_allowed(*letter)) {
        None => Ok((body, delay)),
        Some(letter) => {
            let why = format!(
                "Invalid binary character '#x{:X}' was found in the message body, the set of allowed characters is #x9 | #xA | #xD | [#x20 to #xD7FF] | [#xE000 to #xFFFD] | [#x10000 to #x10FFFF]",
                u32::from(letter)
            );
            Err(Failure::misuse("InvalidMessageContents", why))
        }
    }
}

/// What XML may have: <https://www.w3.org/TR/REC-xml/#charsets>.
fn is_allowed(letter: char) -> bool {
    matches!(letter, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{1_0000}'..)
}

/// A change of visibility: handle and time.
pub(super) fn visibility(members: &mut Members) -> Result<(String, Duration), Failure> {
    let handle = members.required_text("ReceiptHandle")?;
    let hidden = members.required_number("VisibilityTimeout", 0..=MOST_VISIBILITY_SECS)?;
    Ok((handle, Duration::from_secs(hidden)))
}

fn delivery(handle: &str, message: &Message, names: &[String]) -> Value {
    let millis = |moment: Moment| moment.as_millis().to_string();
    let mut attributes = Map::new();
    let known = [
        ("ApproximateFirstReceiveTimestamp", message.first_received_at.map(millis)),
        ("ApproximateReceiveCount", Some(message.receives_of_all.to_string())),
        ("DeadLetterQueueSourceArn", message.source.clone()),
        ("SenderId", Some("AIDACKCEVSQ6C2EXAMPLE".to_owned())),
        ("SentTimestamp", Some(millis(message.sent_at))),
    ];
    let is_all = names.iter().any(|name| name == "All");
    for (name, value) in known {
        if let Some(value) = value.filter(|_| is_all || names.iter().any(|other| other == name)) {
            attributes.insert(name.to_owned(), Value::String(value));
        }
    }
    let mut delivery = json!({
        "MessageId": message.id,
        "ReceiptHandle": handle,
        "MD5OfBody": md5_hex(message.body.as_bytes()),
        "Body": message.body,
    });
    if !attributes.is_empty() {
        delivery["Attributes"] = Value::Object(attributes);
    }
    delivery
}

/// The entries of a batch, of which there are one to ten, each with an id of its own.
pub(super) fn entries(members: &mut Members) -> Result<Vec<(String, Members)>, Failure> {
    let objects = members.objects("Entries")?;
    if objects.is_empty() {
        let why = "There should be at least one SendMessageBatchRequestEntry in the request.";
        return Err(old_misuse("EmptyBatchRequest", why));
    }
    if objects.len() > 10 {
        let sent = objects.len();
        let why = format!("Maximum number of entries per request are 10. You have sent {sent}.");
        return Err(old_misuse("TooManyEntriesInBatchRequest", why));
    }
    let mut entries: Vec<(String, Members)> = Vec::with_capacity(objects.len());
    for mut object in objects {
        let id = object.required_text("Id")?;
        let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
        if id.is_empty() || id.len() > 80 || !id.chars().all(is_letter) {
            let why = "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long.";
            return Err(old_misuse("InvalidBatchEntryId", why));
        }
        if entries.iter().any(|(other, _)| *other == id) {
            let why = format!("Id {id} repeated.");
            return Err(old_misuse("BatchEntryIdsNotDistinct", why));
        }
        entries.push((id, object));
    }
    Ok(entries)
}
