//! The server: what comes in, to whom it goes, what goes wrong, what is noted.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{
    ACCESS_KEY, Answer, Call, Clock, Ec2, Faults, Outcome, Queues, REGION,
    calls::Calls,
    ec2,
    failure::Failure,
    form,
    http::{Peer, Reply, Request, Response, Server},
    sqs::{self, Sqs},
    sts,
};

/// AWS on a port of its own, until it is dropped.
#[derive(Debug)]
pub struct Cloud {
    server: Server,
    parts: Parts,
}

#[derive(Clone, Debug)]
struct Parts {
    calls: Calls,
    clock: Clock,
    ec2: Ec2,
    faults: Faults,
    sqs: Sqs,
}

impl Cloud {
    /// Starts it, empty.
    ///
    /// # Panics
    ///
    /// Where loopback has no port left.
    pub fn start() -> Self {
        let mut kept = None;
        let server = Server::start(|address| {
            let clock = Clock::start();
            let parts = Parts {
                calls: Calls::default(),
                ec2: Ec2::new(clock.clone()),
                faults: Faults::default(),
                sqs: Sqs::new(format!("http://{address}"), clock.clone()),
                clock,
            };
            kept = Some(parts.clone());
            move |request: &Request, peer: &Peer<'_>| parts.handle(request, peer)
        });
        let server = server.unwrap_or_else(|error| panic!("no cloud on loopback: {error}"));
        let Some(parts) = kept else { unreachable!("a server that started has a handler") };
        Self { server, parts }
    }

    /// What `AWS_ENDPOINT_URL` must say.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// The environment in which the AWS SDK finds this cloud, and no other.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT_URL", self.endpoint()),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "no secret".to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ]
    }

    /// Its queues.
    pub fn queues(&self) -> Queues {
        Queues::new(self.parts.sqs.clone())
    }

    /// Its machines.
    pub fn ec2(&self) -> Ec2 {
        self.parts.ec2.clone()
    }

    /// What is to go wrong.
    pub fn faults(&self) -> Faults {
        self.parts.faults.clone()
    }

    /// Its time.
    pub fn clock(&self) -> Clock {
        self.parts.clock.clone()
    }

    /// Every HTTP attempt so far, in the order they came.
    pub fn calls(&self) -> Vec<Call> {
        self.parts.calls.all()
    }

    /// Those that only a wrong client makes: none, at the end of most tests.
    pub fn misuses(&self) -> Vec<Call> {
        self.calls().into_iter().filter(|call| call.misuse.is_some()).collect()
    }
}

/// Who is to answer, and what is asked.
struct Asked {
    service: &'static str,
    operation: String,
    params: Value,
}

impl Parts {
    fn handle(&self, request: &Request, peer: &Peer<'_>) -> Reply {
        let request_id = Uuid::new_v4().to_string();
        let mut asked = Asked::unread(request);
        let wrong = asked.read(request).and_then(|()| asked.authorize(request)).err();
        let header = |name| request.header(name).map(str::to_owned);
        let number = self.calls.open(Call {
            at: Instant::now(),
            took: None,
            service: asked.service,
            operation: asked.operation.clone(),
            params: asked.params.clone(),
            sdk_request: header("amz-sdk-request"),
            invocation: header("amz-sdk-invocation-id"),
            outcome: Outcome::Open,
            misuse: None,
        });
        let fault = match wrong {
            Some(_) => None,
            None => self.faults.strike(asked.service, &asked.operation, &asked.params),
        };
        if let Some(Answer::Delay(time)) = fault {
            pause(time, peer);
        }
        let result = match (wrong, &fault) {
            (Some(failure), _) => Err(failure),
            (None, Some(Answer::Error { status, code, message })) => Err(Failure {
                status: *status,
                code: code.clone(),
                message: message.clone(),
                is_misuse: false,
            }),
            (None, Some(Answer::RefuseEntries(refused))) => {
                sqs::without_first(*refused, &asked.params, |rest| {
                    self.sqs.call(&asked.operation, rest, &|| peer.is_gone())
                })
                .map(|output| sqs::success(&request_id, &output))
            }
            (None, _) => self.call(&asked, peer, &request_id),
        };
        let misuse = match &result {
            Err(failure) if failure.is_misuse => Some(failure.message.clone()),
            _ => None,
        };
        if fault == Some(Answer::DropAfter) || peer.is_gone() {
            self.calls.close(number, Outcome::Dropped, misuse);
            return Reply::Close;
        }
        let code = result.as_ref().err().map(|failure| failure.code.clone());
        let response = result.unwrap_or_else(|failure| match asked.service {
            "ec2" => ec2::failure(&request_id, &failure),
            "sts" => sts::failure(&request_id, &failure),
            _ => sqs::failure(&request_id, &failure),
        });
        self.calls.close(number, Outcome::Answered { status: response.status, code }, misuse);
        Reply::Send(response)
    }

    fn call(&self, asked: &Asked, peer: &Peer<'_>, request_id: &str) -> Result<Response, Failure> {
        let Asked { service, operation, params } = asked;
        let no_form = Map::new();
        let form = params.as_object().unwrap_or(&no_form);
        Ok(match *service {
            "ec2" => ec2::success(request_id, operation, &self.ec2.call(operation, form)?),
            "sts" => sts::success(request_id, operation, &sts::call(operation, form)?),
            _ => sqs::success(request_id, &self.sqs.call(operation, params, &|| peer.is_gone())?),
        })
    }
}

impl Asked {
    /// What can be said of a request before it is read.
    fn unread(request: &Request) -> Self {
        let operation = format!("{} {}", request.method, request.path);
        Self { service: "?", operation, params: Value::Null }
    }

    /// Reads it, as far as it can be read.
    fn read(&mut self, request: &Request) -> Result<(), Failure> {
        if request.method != "POST" || request.path != "/" {
            return Err(Failure::misuse("InvalidAction", "All that is modelled here is POST /"));
        }
        let content_type = request.header("content-type").unwrap_or_default();
        if let Some(target) = request.header("x-amz-target") {
            self.service = "sqs";
            let operation = target.strip_prefix("AmazonSQS.");
            let unknown =
                || Failure::misuse("UnknownOperationException", format!("No target {target}"));
            self.operation = operation.ok_or_else(unknown)?.to_owned();
            if content_type != "application/x-amz-json-1.0" {
                let why = format!("The content type of JSON 1.0 is not {content_type:?}");
                return Err(Failure::misuse("SerializationException", why));
            }
            self.params = serde_json::from_slice(&request.body)
                .map_err(|error| Failure::misuse("SerializationException", error.to_string()))?;
            return Ok(());
        }
        let content_type = content_type.split(';').next().unwrap_or_default();
        if content_type != "application/x-www-form-urlencoded" {
            let why = format!("There is no service that takes {content_type:?}");
            return Err(Failure::misuse("InvalidAction", why));
        }
        let params = form::parse(&request.body)?;
        let text = |name: &str| params.get(name).and_then(Value::as_str).map(str::to_owned);
        let is_sts = text("Version").as_deref() == Some(sts::VERSION);
        self.service = if is_sts { "sts" } else { "ec2" };
        self.operation = text("Action").ok_or_else(|| form::missing("Action"))?;
        self.params = Value::Object(params);
        Ok(())
    }

    /// Looks at what is signed for, not at the signature: the region and the service.
    fn authorize(&self, request: &Request) -> Result<(), Failure> {
        let Some(header) = request.header("authorization") else {
            return Err(Failure::misuse("MissingAuthenticationToken", "The request is not signed"));
        };
        let scope = header.split("Credential=").nth(1).and_then(|rest| rest.split(',').next());
        let words: Vec<_> = scope.unwrap_or_default().split('/').collect();
        match words.as_slice() {
            [_, _, REGION, service, "aws4_request"] if *service == self.service => Ok(()),
            _ => {
                let service = self.service;
                let why =
                    format!("The credential is not scoped to {REGION}/{service}/aws4_request");
                Err(Failure::misuse("SignatureDoesNotMatch", why))
            }
        }
    }
}

/// Sleeps, and no longer than the client waits.
fn pause(time: Duration, peer: &Peer<'_>) {
    const LOOK: Duration = Duration::from_millis(20);
    let until = Instant::now() + time;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || peer.is_gone() {
            return;
        }
        thread::sleep(left.min(LOOK));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Fault, http::post};

    const SIGNED: (&str, &str) = (
        "Authorization",
        "AWS4-HMAC-SHA256 Credential=K/20260101/eu-central-1/sqs/aws4_request, Signature=0",
    );

    fn ask(cloud: &Cloud, target: &str, body: &str) -> (u16, Value) {
        let headers =
            [SIGNED, ("X-Amz-Target", target), ("Content-Type", "application/x-amz-json-1.0")];
        let (status, body) = post(&cloud.endpoint(), &headers, body.as_bytes()).unwrap();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    #[test]
    fn a_call_is_answered_and_noted() {
        let cloud = Cloud::start();
        let (status, answer) = ask(&cloud, "AmazonSQS.CreateQueue", r#"{"QueueName":"q"}"#);
        assert_eq!((status, answer["QueueUrl"].as_str()), (200, Some(&*cloud.queues().url("q"))));
        let calls = cloud.calls();
        assert_eq!((calls.len(), calls[0].param("QueueName")), (1, Some("q")));
        assert_eq!(calls[0].outcome, Outcome::Answered { status: 200, code: None });
        assert!(cloud.misuses().is_empty());
    }

    #[test]
    fn a_wrong_client_is_told_and_seen() {
        let cloud = Cloud::start();
        let (status, answer) =
            ask(&cloud, "AmazonSQS.CreateQueue", r#"{"QueueName":"q","Fifo":true}"#);
        assert_eq!(
            (status, answer["__type"].as_str()),
            (400, Some("com.amazonaws.sqs#UnknownParameter"))
        );
        let (status, _) = ask(&cloud, "AmazonSQS.ListQueues", "{}");
        assert_eq!(status, 400);
        let (status, _) = ask(&cloud, "AmazonSQS.CreateQueue", "{");
        assert_eq!(status, 400);
        let unsigned = post(&cloud.endpoint(), &[], b"").unwrap();
        assert_eq!(unsigned.0, 400);
        let form = [SIGNED, ("Content-Type", "application/x-www-form-urlencoded")];
        let other_service =
            post(&cloud.endpoint(), &form, b"Action=DescribeInstances&Version=2016-11-15").unwrap();
        assert_eq!(other_service.0, 403);
        assert_eq!(cloud.misuses().len(), 5);
    }

    #[test]
    fn the_fault_script_is_played() {
        let cloud = Cloud::start();
        let url = cloud.queues().create("q", &Default::default());
        let send = format!(r#"{{"QueueUrl":"{url}","MessageBody":"m"}}"#);
        cloud.faults().add(Fault::on("SendMessage", Answer::error("ServiceUnavailable")));
        cloud.faults().add(Fault::on("sqs:*", Answer::DropAfter));
        cloud.faults().add(Fault::on("sqs:*", Answer::Delay(Duration::from_millis(30))));
        assert_eq!(ask(&cloud, "AmazonSQS.SendMessage", &send).0, 503);
        assert_eq!(cloud.queues().messages(&url).len(), 0);
        let headers = [SIGNED, ("X-Amz-Target", "AmazonSQS.SendMessage")];
        let headers = [headers[0], headers[1], ("Content-Type", "application/x-amz-json-1.0")];
        assert!(post(&cloud.endpoint(), &headers, send.as_bytes()).is_err());
        assert_eq!(cloud.queues().messages(&url).len(), 1);
        assert_eq!(ask(&cloud, "AmazonSQS.SendMessage", &send).0, 200);
        let calls = cloud.calls();
        assert!(calls[2].took.unwrap() >= Duration::from_millis(30));
        assert_eq!(
            (calls[0].code(), &calls[1].outcome),
            (Some("ServiceUnavailable"), &Outcome::Dropped)
        );
        assert!(cloud.faults().left().is_empty() && cloud.misuses().is_empty());
    }
}
