//! The SDK's thread, what it takes from its environment, and what its errors say.

use std::{
    env, future,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use mrpf_aws::{Aws, AwsError, CallError, Identity, Place, Reason};
use mrpf_cloud::{Answer, Cloud, Fault, REGION};

fn at(endpoint: &str) -> Aws {
    Aws::start_at(&Place {
        endpoint: endpoint.to_owned(),
        region: REGION.to_owned(),
        access_key_id: "test".to_owned(),
        secret_access_key: "secret-of-the-test".to_owned(),
    })
    .unwrap()
}

fn refused(aws: &Aws) -> CallError {
    match aws.identity().unwrap_err() {
        AwsError::Call(refused) => refused,
        other => panic!("{other}"),
    }
}

fn error(status: u16, code: &str, message: &str) -> Answer {
    Answer::Error { status, code: code.to_owned(), message: message.to_owned() }
}

#[test]
fn it_says_who_we_are() {
    let cloud = Cloud::start();
    let identity = at(&cloud.endpoint()).identity().unwrap();
    assert_eq!(identity.account, mrpf_cloud::ACCOUNT);
    assert!(identity.arn.starts_with("arn:aws:"), "{identity}");
    assert_eq!(identity.to_string(), format!("{} of account {}", identity.arn, identity.account));
}

#[test]
fn a_call_waits_for_no_other() {
    let aws = at("http://127.0.0.1:9");
    let open: Vec<_> = (0..4).map(|_| aws.begin(future::pending::<()>())).collect();
    let start = Instant::now();
    assert_eq!(aws.call(async { 42 }).unwrap(), 42);
    // From many threads, also such as a runtime lends for blocking work.
    thread::scope(|scope| {
        for n in 0..8 {
            let aws = &aws;
            scope.spawn(move || assert_eq!(aws.call(async move { n }).unwrap(), n));
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (other, blocking) = (aws.clone(), runtime.handle().clone());
    let lent = blocking.spawn_blocking(move || other.call(async { 43 }).unwrap());
    assert_eq!(runtime.block_on(lent).unwrap(), 43);
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(open[0].end_within(Duration::from_millis(10)).unwrap().is_none());
}

#[test]
fn a_call_that_panics_is_an_error_and_the_thread_lives() {
    let aws = at("http://127.0.0.1:9");
    let ended = aws.call(async { assert!(env::var_os("NOT SET").is_some(), "on purpose") });
    assert!(matches!(ended, Err(AwsError::Ended)), "{ended:?}");
    assert_eq!(aws.call(async { 1 }).unwrap(), 1);
}

#[test]
fn the_thread_does_not_wait_for_itself() {
    let aws = at("http://127.0.0.1:9");
    let other = aws.clone();
    let inside = aws.call(async move { other.call(async {}) }).unwrap();
    assert!(matches!(inside, Err(AwsError::Inside)), "{inside:?}");
}

#[test]
fn the_thread_ends_with_the_last_handle_and_the_last_call() {
    let aws = at("http://127.0.0.1:9");
    let (held, ended) = crossbeam_channel::bounded::<()>(0);
    // Nobody's call: it lives for as long as the runtime does.
    let lives = async move {
        tokio::spawn(async move {
            future::pending::<()>().await;
            drop(held);
        });
    };
    aws.call(lives).unwrap();
    let last = aws.begin(async { tokio::time::sleep(Duration::from_secs(1)).await });
    let copy = aws.clone();
    drop(aws);
    drop(copy);
    let lives = Err(crossbeam_channel::RecvTimeoutError::Timeout);
    assert_eq!(ended.recv_timeout(Duration::from_millis(300)), lives, "a call was under way");
    last.end().unwrap();
    let gone = Err(crossbeam_channel::RecvTimeoutError::Disconnected);
    assert_eq!(ended.recv_timeout(Duration::from_secs(5)), gone, "the thread lives on");
}

#[test]
fn retries_are_the_sdks_and_bounded() {
    let aws = at("http://127.0.0.1:9");
    let retries = aws.config().retry_config().unwrap();
    assert!(retries.has_retry() && retries.max_attempts() == 3, "{retries:?}");
    let timeouts = aws.config().timeout_config().unwrap();
    assert_eq!(timeouts.connect_timeout(), Some(Duration::from_secs(5)));
    let longest_poll = Duration::from_secs(20);
    assert!(timeouts.read_timeout().unwrap() > longest_poll);
    assert!(timeouts.operation_attempt_timeout().unwrap() > longest_poll);
    let cloud = Cloud::start();
    let aws = at(&cloud.endpoint());
    for (answer, reason) in [
        (error(500, "InternalFailure", "oh"), Reason::Trouble),
        (error(400, "Throttling", "Rate exceeded"), Reason::Throttled),
    ] {
        cloud.faults().add(Fault::on("GetCallerIdentity", answer.clone()).times(2));
        let before = cloud.calls().len();
        aws.identity().unwrap();
        assert_eq!(cloud.calls().len() - before, 3);
        cloud.faults().add(Fault::on("GetCallerIdentity", answer).times(3));
        assert_eq!(refused(&aws).reason, reason);
        assert_eq!(cloud.calls().len() - before, 6);
    }
}

#[test]
fn an_error_says_which_call_and_what_mends_it_and_no_secret() {
    let cloud = Cloud::start();
    let aws = at(&cloud.endpoint());
    let token = "FwoGZXIvYXdzEJr-the-session";
    let told = format!(
        "The request signature we calculated does not match. The Canonical String should have been 'POST\n/\nx-amz-security-token:{token}'"
    );
    for (answer, reason, parts) in [
        (
            error(403, "SignatureDoesNotMatch", &told),
            Reason::NotKnown,
            ["SignatureDoesNotMatch (403)", "AWS_SECRET_ACCESS_KEY", "clock"],
        ),
        (
            error(
                403,
                "InvalidClientTokenId",
                "The security token included in the request is invalid.",
            ),
            Reason::NotKnown,
            [
                "InvalidClientTokenId (403)",
                "token included in the request is invalid;",
                "AWS_SESSION_TOKEN",
            ],
        ),
        (
            error(403, "AccessDenied", "User: arn:aws:iam::1:user/x is not authorized"),
            Reason::NotAllowed,
            ["AccessDenied (403)", "arn:aws:iam::1:user/x", "policy of this role"],
        ),
        (
            error(400, "ValidationError", &"x\n".repeat(1_000)),
            Reason::Refused,
            ["ValidationError (400)", "x x x", " ..."],
        ),
    ] {
        cloud.faults().add(Fault::on("GetCallerIdentity", answer));
        let refused = refused(&aws);
        assert_eq!(refused.reason, reason, "{refused}");
        let line = refused.to_string();
        assert!(line.starts_with("STS GetCallerIdentity: "), "{line}");
        assert!(parts.iter().all(|part| line.contains(part)), "{line}");
        assert!(!line.contains('\n') && line.len() < 600, "{line}");
        for secret in [token, "secret-of-the-test"] {
            assert!(!format!("{line} {refused:?}").contains(secret), "{line}");
        }
    }
    let place = Place {
        endpoint: String::new(),
        region: String::new(),
        access_key_id: "a".to_owned(),
        secret_access_key: "secret-of-the-test".to_owned(),
    };
    assert!(!format!("{place:?}").contains("secret-of"));
}

#[test]
fn an_endpoint_where_nobody_is_says_what_to_check() {
    // A port that was free a moment ago.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refused = refused(&at(&format!("http://{address}")));
    assert_eq!(refused.reason, Reason::Unreachable);
    let line = refused.to_string();
    assert!(line.contains("Connection refused") && line.contains("AWS_ENDPOINT_URL"), "{line}");
}

#[test]
fn an_answer_that_is_not_awss_says_so() {
    let address = serve(|_, _| (200, "<html>Welcome to the hotel".to_owned()));
    let refused = refused(&at(&format!("http://{address}")));
    assert_eq!(refused.reason, Reason::Unreadable, "{refused}");
    assert!(refused.to_string().contains("what answers there is not AWS"), "{refused}");
}

// --- the environment, which is that of a process -------------------------------------------------------------------------

/// Set for the process in which [`as_a_program_does`] is what the tests below ask.
const CHILD: &str = "MRPF_AWS_TEST_CHILD";

/// Starts the SDK as a program does, and says who it is; by itself, in the environment of who runs the tests, nothing.
#[test]
fn as_a_program_does() {
    if env::var_os(CHILD).is_none() {
        return;
    }
    match Aws::start().and_then(|aws| aws.identity()) {
        Ok(Identity { arn, .. }) => println!("IS {arn}"),
        Err(error) => println!("ERROR {error}"),
    }
}

/// What [`as_a_program_does`] says in this environment.
fn in_environment(variables: &[(&str, &str)]) -> String {
    let empty = tempfile::tempdir().unwrap();
    let done = Command::new(env::current_exe().unwrap())
        .args(["--exact", "as_a_program_does", "--nocapture"])
        .env_clear()
        .env(CHILD, "1")
        .env("HOME", empty.path())
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    String::from_utf8(done.stdout).unwrap()
}

const NO_MACHINE: (&str, &str) = ("AWS_EC2_METADATA_DISABLED", "true");

#[test]
fn without_a_region_it_names_the_variable() {
    let said =
        in_environment(&[NO_MACHINE, ("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")]);
    assert!(said.contains("ERROR AWS: no region is known: set AWS_REGION"), "{said}");
}

#[test]
fn without_credentials_it_names_the_variables() {
    let said = in_environment(&[
        NO_MACHINE,
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9"),
    ]);
    assert!(said.contains("ERROR STS GetCallerIdentity: no credentials"), "{said}");
    assert!(said.contains("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"), "{said}");
}

/// As a Lambda function has them: with the token of a session.
#[test]
fn credentials_are_those_of_the_environment() {
    let (seen, told) = crossbeam_channel::unbounded();
    let sts = serve(move |_, headers| {
        seen.send(headers.to_vec()).unwrap();
        (200, identity_answer())
    });
    let endpoint = format!("http://{sts}");
    let said = in_environment(&[
        NO_MACHINE,
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ENDPOINT_URL", &endpoint),
        ("AWS_ACCESS_KEY_ID", "ASIAENVIRONMENT"),
        ("AWS_SECRET_ACCESS_KEY", "b"),
        ("AWS_SESSION_TOKEN", "the-session"),
    ]);
    assert!(said.contains("IS arn:aws:sts::1:assumed-role/r/s"), "{said}");
    let headers = told.recv().unwrap().join("\n").to_lowercase();
    assert!(headers.contains("credential=asiaenvironment/"), "{headers}");
    assert!(headers.contains("/eu-central-1/sts/aws4_request"), "{headers}");
    assert!(headers.contains("x-amz-security-token: the-session"), "{headers}");
}

/// As a worker on EC2 has them: from the machine, with the token that version 2 of its metadata asks for. The region too.
#[test]
fn credentials_and_region_are_those_of_the_machine() {
    let imds = serve(|line, headers| {
        let has_token = headers
            .iter()
            .any(|header| header.eq_ignore_ascii_case("x-aws-ec2-metadata-token: t1"));
        let role = "/latest/meta-data/iam/security-credentials";
        match line.split(' ').take(2).collect::<Vec<_>>()[..] {
            ["PUT", "/latest/api/token"] => (200, "t1".to_owned()),
            _ if !has_token => (401, String::new()),
            ["GET", "/latest/meta-data/placement/region"] => (200, "eu-south-2".to_owned()),
            ["GET", path] if path.starts_with(role) && path.ends_with("/worker") => (
                200,
                r#"{"Code":"Success","Type":"AWS-HMAC","AccessKeyId":"ASIAMACHINE","SecretAccessKey":"s",
                    "Token":"t","LastUpdated":"2026-01-01T00:00:00Z","Expiration":"2126-01-01T00:00:00Z"}"#
                    .to_owned(),
            ),
            ["GET", path] if path.trim_end_matches('/') == role => (200, "worker".to_owned()),
            _ => (404, String::new()),
        }
    });
    let (seen, told) = crossbeam_channel::unbounded();
    let sts = serve(move |_, headers| {
        seen.send(headers.to_vec()).unwrap();
        (200, identity_answer())
    });
    let said = in_environment(&[
        ("AWS_ENDPOINT_URL", &format!("http://{sts}")),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &format!("http://{imds}")),
    ]);
    assert!(said.contains("IS arn:aws:sts::1:assumed-role/r/s"), "{said}");
    let headers = told.recv().unwrap().join("\n");
    assert!(headers.contains("Credential=ASIAMACHINE/"), "{headers}");
    assert!(headers.contains("/eu-south-2/sts/aws4_request"), "{headers}");
}

fn identity_answer() -> String {
    "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
     <Arn>arn:aws:sts::1:assumed-role/r/s</Arn><UserId>u</UserId><Account>1</Account>\
     </GetCallerIdentityResult></GetCallerIdentityResponse>"
        .to_owned()
}

/// A server of HTTP that gives what `answer` makes of the request's first line and headers; one request a connection.
fn serve(answer: impl Fn(&str, &[String]) -> (u16, String) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut lines = Vec::new();
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or_default() == 0 || line.trim().is_empty() {
                    break;
                }
                lines.push(line.trim().to_owned());
            }
            let Some((first, headers)) = lines.split_first() else { continue };
            let length = headers.iter().find_map(|header| {
                let (name, value) = header.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
            });
            let mut body = vec![0; length.unwrap_or(0)];
            let _ = std::io::Read::read_exact(&mut reader, &mut body);
            let (status, text) = answer(first, headers);
            let _ = write!(
                stream,
                "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nx-aws-ec2-metadata-token-ttl-seconds: 21600\r\nConnection: close\r\n\r\n{text}",
                text.len()
            );
        }
    });
    address
}
