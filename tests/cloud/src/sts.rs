//! STS: who a client is.

use crate::{
    ACCOUNT,
    failure::Failure,
    form::{Form, escape},
    http::Response,
};

use serde_json::{Map, Value};

pub(crate) const VERSION: &str = "2011-06-15";

/// Gives the XML inside the answer.
pub(crate) fn call(operation: &str, params: &Map<String, Value>) -> Result<String, Failure> {
    let form = Form::open(params, VERSION)?;
    if operation != "GetCallerIdentity" {
        let why = format!("Could not find operation {operation}, or it is not modelled here");
        return Err(Failure::misuse("InvalidAction", why));
    }
    form.finish()?;
    Ok(format!(
        "<Arn>arn:aws:iam::{ACCOUNT}:user/tester</Arn><UserId>AIDACKCEVSQ6C2EXAMPLE</UserId><Account>{ACCOUNT}</Account>"
    ))
}

pub(crate) fn success(request_id: &str, operation: &str, result: &str) -> Response {
    let body = format!(
        "<{operation}Response xmlns=\"https://sts.amazonaws.com/doc/{VERSION}/\"><{operation}Result>{result}</{operation}Result><ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{operation}Response>"
    );
    Response::new(200, "text/xml", body).with("x-amzn-RequestId", request_id)
}

pub(crate) fn failure(request_id: &str, failure: &Failure) -> Response {
    let side = if failure.status < 500 { "Sender" } else { "Receiver" };
    let (code, message) = (escape(&failure.code), escape(&failure.message));
    let body = format!(
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/{VERSION}/\"><Error><Type>{side}</Type><Code>{code}</Code><Message>{message}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
    );
    Response::new(failure.status, "text/xml", body).with("x-amzn-RequestId", request_id)
}
