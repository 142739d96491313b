//! The beginning of the process, and what is told of one that fails.

use std::{
    env,
    error::Error,
    io::{self, Read as _, Write as _},
    net::{TcpStream, ToSocketAddrs as _},
    process::ExitCode,
    time::Duration,
};

use serde_json::json;

use crate::{Function, LambdaError, serve};

/// How long telling the Runtime API may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// What Lambda counts such errors under.
const ERROR_TYPE: &str = "Mrpf.Init";

/// The whole program: makes the function and answers invocations until Lambda ends the process. Why it cannot begin is logged,
/// and told to Lambda, which shows it to whoever invokes the function by hand.
pub fn run(make: impl FnOnce() -> Result<Function, Box<dyn Error>>) -> ExitCode {
    match make() {
        Ok(function) => match serve(function) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error @ LambdaError::NotLambda(_)) => {
                tracing::error!(%error, "does not begin");
                ExitCode::FAILURE
            }
            Err(error) => {
                tracing::error!(%error, "ends");
                ExitCode::FAILURE
            }
        },
        Err(error) => {
            tracing::error!(%error, "does not begin");
            if let Err(error) = tell(&error.to_string()) {
                tracing::debug!(%error, "the Runtime API is not told");
            }
            ExitCode::FAILURE
        }
    }
}

/// The library under [`serve`] has no call for this one.
fn tell(why: &str) -> io::Result<()> {
    let Ok(api) = env::var("AWS_LAMBDA_RUNTIME_API") else { return Ok(()) };
    let address = api.to_socket_addrs()?.next().ok_or(io::ErrorKind::AddrNotAvailable)?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(request(&api, why).as_bytes())?;
    // Heard to its end, or it may be cut off on its way.
    stream.take(4_096).read_to_end(&mut Vec::new()).map(drop)
}

fn request(api: &str, why: &str) -> String {
    let body =
        json!({ "errorMessage": why, "errorType": ERROR_TYPE, "stackTrace": [] }).to_string();
    let length = body.len();
    format!(
        "POST /2018-06-01/runtime/init/error HTTP/1.1\r\nHost: {api}\r\nContent-Type: application/json\r\n\
         Lambda-Runtime-Function-Error-Type: {ERROR_TYPE}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_told_as_the_runtime_api_wants_it() {
        let request = request("127.0.0.1:9001", "INTERNAL_QUEUE_URL is \"é\"\nand more");
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST /2018-06-01/runtime/init/error HTTP/1.1\r\n"), "{head}");
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["errorMessage"], "INTERNAL_QUEUE_URL is \"é\"\nand more");
        assert_eq!(body["errorType"], ERROR_TYPE);
    }
}
