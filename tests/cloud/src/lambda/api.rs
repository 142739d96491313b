//! The HTTP side: the runtime API and, of the extensions API, what a graceful shutdown takes.

use std::{
    thread,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};
use uuid::Uuid;

use super::{LOOK, LambdaOutcome, Shared};
use crate::{
    ACCOUNT,
    http::{Peer, Reply, Request, Response},
};

/// Most octets of an event, and of what a function returns.
pub(super) const MOST_PAYLOAD: usize = 6 * 1_024 * 1_024;
const RUNTIME: &str = "/2018-06-01/runtime/";
const EXTENSION: &str = "/2020-01-01/extension/";
const EXTENSION_ID: &str = "Lambda-Extension-Identifier";

impl Shared {
    pub(super) fn handle(&self, request: &Request, peer: &Peer<'_>) -> Reply {
        let Request { method, path, .. } = request;
        let runtime = path.strip_prefix(RUNTIME).map(|rest| rest.split('/').collect::<Vec<_>>());
        match (method.as_str(), runtime.as_deref()) {
            ("GET", Some(["invocation", "next"])) => self.next(peer),
            ("POST", Some(["invocation", id, "response"])) => {
                self.end(id, request, LambdaOutcome::Returned)
            }
            ("POST", Some(["invocation", id, "error"])) => {
                self.end(id, request, LambdaOutcome::Failed)
            }
            ("POST", Some(["init", "error"])) => {
                self.lock().init_errors.push(text(request));
                accepted()
            }
            ("POST", None) if path == &format!("{EXTENSION}register") => self.register(request),
            ("GET", None) if path == &format!("{EXTENSION}event/next") => self.silence(peer),
            _ => self.unknown(method, path),
        }
    }

    /// Gives the next invocation, whenever it comes.
    fn next(&self, peer: &Peer<'_>) -> Reply {
        // A process that asks has nothing to do; one before it that had died.
        self.lock().end_running(LambdaOutcome::Crashed);
        loop {
            if self.is_over() || peer.is_gone() {
                return Reply::Close;
            }
            let mut state = self.lock();
            if let Some(number) = state.waiting.pop_front() {
                state.running = Some(number);
                let invocation = &mut state.invocations[number];
                invocation.taken = Some(Instant::now());
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                let deadline = (now + self.function.timeout).as_millis();
                let body = invocation.event.to_string();
                let response = Response::new(200, "application/json", body)
                    .with("Lambda-Runtime-Aws-Request-Id", &*invocation.id)
                    .with("Lambda-Runtime-Deadline-Ms", deadline.to_string())
                    .with("Lambda-Runtime-Invoked-Function-Arn", self.function.arn());
                return Reply::Send(response);
            }
            drop(state);
            thread::sleep(LOOK);
        }
    }

    fn end(
        &self,
        id: &str,
        request: &Request,
        outcome: impl FnOnce(String) -> LambdaOutcome,
    ) -> Reply {
        let mut state = self.lock();
        let is_running = state.running.is_some_and(|number| state.invocations[number].id == id);
        if !is_running {
            return refused(400, "InvalidRequestID", "Invalid request ID");
        }
        if request.body.len() > MOST_PAYLOAD {
            state.end_running(LambdaOutcome::Failed("the response is too large".to_owned()));
            let why = "Exceeded maximum allowed payload size (6291556 bytes).";
            return refused(413, "RequestEntityTooLarge", why);
        }
        state.end_running(outcome(text(request)));
        accepted()
    }

    fn register(&self, request: &Request) -> Reply {
        let name = request.header("lambda-extension-name");
        let body: Option<Value> = serde_json::from_slice(&request.body).ok();
        let events = body.as_ref().and_then(|body| body["events"].as_array());
        let (Some(name), Some(_)) = (name, events) else {
            return refused(400, "Extension.InvalidRequest", "No name, or no list of events");
        };
        self.lock().extensions.push(name.to_owned());
        let body = json!({
            "functionName": self.function.name,
            "functionVersion": "$LATEST",
            "handler": "bootstrap",
            "accountId": ACCOUNT,
        });
        let response = Response::new(200, "application/json", body.to_string());
        Reply::Send(response.with(EXTENSION_ID, Uuid::new_v4().to_string()))
    }

    /// There is never an event for an extension that asked for none; the call ends the phase of initialisation.
    fn silence(&self, peer: &Peer<'_>) -> Reply {
        while !self.is_over() && !peer.is_gone() {
            thread::sleep(LOOK * 4);
        }
        Reply::Close
    }

    fn unknown(&self, method: &str, path: &str) -> Reply {
        self.lock().misuses.push(format!("{method} {path}"));
        refused(404, "NotFound", "The runtime API has no such resource, or it is not modelled here")
    }
}

fn text(request: &Request) -> String {
    String::from_utf8_lossy(&request.body).into_owned()
}

fn accepted() -> Reply {
    Reply::Send(Response::new(202, "application/json", r#"{"status":"OK"}"#))
}

fn refused(status: u16, kind: &str, message: &str) -> Reply {
    let body = json!({ "errorType": kind, "errorMessage": message });
    Reply::Send(Response::new(status, "application/json", body.to_string()))
}
