//! Where the queues are.

use std::fmt;

use crate::{
    Problem,
    reader::{Group, Reader, Variable},
};

const EXTERNAL: Variable =
    variable("EXTERNAL_QUEUE_URL", "the queue of tasks for external workers");
const INTERNAL: Variable =
    variable("INTERNAL_QUEUE_URL", "the queue of tasks for internal workers");
const BARE_METAL: Variable =
    variable("BARE_METAL_QUEUE_URL", "the queue of tasks for bare-metal workers");
const TASK_MANAGER: Variable =
    variable("TASK_MANAGER_QUEUE_URL", "the queue of what workers tell the manager");

const fn variable(name: &'static str, is: &'static str) -> Variable {
    let give = "the URL that SQS shows for it, such as https://sqs.eu-central-1.amazonaws.com/123456789012/NAME";
    Variable { name, is, give }
}

/// The URL of a queue, as SQS shows it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct QueueUrl(String);

impl QueueUrl {
    /// The URL itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for QueueUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The queues of the manager: all of them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ManagerQueues {
    /// `EXTERNAL_QUEUE_URL`.
    pub external: QueueUrl,
    /// `INTERNAL_QUEUE_URL`.
    pub internal: QueueUrl,
    /// `BARE_METAL_QUEUE_URL`.
    pub bare_metal: QueueUrl,
    /// `TASK_MANAGER_QUEUE_URL`.
    pub task_manager: QueueUrl,
}

impl Group for ManagerQueues {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let of = [&EXTERNAL, &INTERNAL, &BARE_METAL, &TASK_MANAGER];
        let [external, internal, bare_metal, task_manager] = urls(reader, of)?;
        Some(Self { external, internal, bare_metal, task_manager })
    }
}

/// The queues of an external worker.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ExternalQueues {
    /// `EXTERNAL_QUEUE_URL`.
    pub external: QueueUrl,
    /// `TASK_MANAGER_QUEUE_URL`.
    pub task_manager: QueueUrl,
}

impl Group for ExternalQueues {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let [external, task_manager] = urls(reader, [&EXTERNAL, &TASK_MANAGER])?;
        Some(Self { external, task_manager })
    }
}

/// The queues of an internal worker.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct InternalQueues {
    /// `INTERNAL_QUEUE_URL`.
    pub internal: QueueUrl,
    /// `TASK_MANAGER_QUEUE_URL`.
    pub task_manager: QueueUrl,
}

impl Group for InternalQueues {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let [internal, task_manager] = urls(reader, [&INTERNAL, &TASK_MANAGER])?;
        Some(Self { internal, task_manager })
    }
}

/// The queues of a bare-metal worker.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BareMetalQueues {
    /// `BARE_METAL_QUEUE_URL`.
    pub bare_metal: QueueUrl,
    /// `TASK_MANAGER_QUEUE_URL`.
    pub task_manager: QueueUrl,
}

impl Group for BareMetalQueues {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let [bare_metal, task_manager] = urls(reader, [&BARE_METAL, &TASK_MANAGER])?;
        Some(Self { bare_metal, task_manager })
    }
}

/// Reads some, none the same as another: messages of one would be taken for those of the other.
fn urls<const N: usize>(reader: &mut Reader<'_>, of: [&Variable; N]) -> Option<[QueueUrl; N]> {
    let urls = of.map(|variable| reader.required(variable, |text| url(variable, text)));
    for (at, url) in urls.iter().enumerate().filter(|(_, url)| url.is_some()) {
        if let Some(same) = urls[..at].iter().position(|other| other == url) {
            let (first, second) = (of[same].name, of[at].name);
            reader.note::<()>(Err(Problem::Same { first, second }));
        }
    }
    let urls: Vec<QueueUrl> = urls.into_iter().collect::<Option<_>>()?;
    urls.try_into().ok()
}

fn url(of: &Variable, text: &str) -> Result<QueueUrl, Problem> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let (host, path) = rest.and_then(|rest| rest.split_once('/')).unwrap_or_default();
    if text.contains('@') {
        return Err(of.wrong_secret(format_args!(
            "has a user or password, which no queue has; give {}",
            of.give
        )));
    }
    let is_url = !host.is_empty()
        && !path.is_empty()
        && text.bytes().all(|octet| octet.is_ascii_graphic() && !b"?#".contains(&octet));
    if is_url {
        Ok(QueueUrl(text.to_owned()))
    } else {
        Err(of.wrong(text, format_args!("is no URL of a queue; give {}", of.give)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Problems, read_from};

    fn own(text: &str) -> Result<ExternalQueues, Problems> {
        read_from(|name| match name {
            "EXTERNAL_QUEUE_URL" => Some(text.into()),
            "TASK_MANAGER_QUEUE_URL" => Some("http://127.0.0.1:9324/000000000000/tm".into()),
            other => panic!("an external worker has nothing to do with {other}"),
        })
    }

    #[test]
    fn a_worker_reads_its_own_queue_and_that_of_the_manager() {
        let queues = own(" https://sqs.eu-central-1.amazonaws.com/1/external\n").unwrap();
        assert_eq!(
            (queues.external.as_str(), queues.task_manager.to_string().as_str()),
            (
                "https://sqs.eu-central-1.amazonaws.com/1/external",
                "http://127.0.0.1:9324/000000000000/tm"
            )
        );
    }

    #[test]
    fn what_is_no_queue_is_refused_and_no_password_shown() {
        for text in [
            "external",
            "arn:aws:sqs:eu-central-1:1:external",
            "https://",
            "https:///q",
            "https://h",
            "https://h/",
            "https://h/a b",
        ] {
            let said = own(text).unwrap_err().to_string();
            assert!(
                said.starts_with(&format!(
                    "EXTERNAL_QUEUE_URL={text}: is no URL of a queue; give the URL that SQS"
                )),
                "{said}"
            );
        }
        let said = own("https://me:pass@h/q").unwrap_err().to_string();
        assert!(
            said.starts_with("EXTERNAL_QUEUE_URL: has a user") && !said.contains("pass@"),
            "{said}"
        );
    }

    #[test]
    fn two_queues_are_not_one() {
        let said = own("http://127.0.0.1:9324/000000000000/tm").unwrap_err().to_string();
        assert_eq!(
            said,
            "EXTERNAL_QUEUE_URL and TASK_MANAGER_QUEUE_URL name the same queue: give each its own"
        );
    }
}
