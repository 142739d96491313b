//! The metadata service of one instance, version 2: nothing without a token.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    ACCOUNT, Clock, Instance, REGION,
    clock::Moment,
    ec2::date,
    http::{Reply, Request, Response, Server},
};

/// The longest life of a token.
const MOST_TTL_SECS: u64 = 21_600;
/// How long before an interruption its notice comes.
const WARNING: Duration = Duration::from_secs(120);

/// The metadata service of an instance. What `AWS_EC2_METADATA_SERVICE_ENDPOINT` must say is its [`endpoint`](Self::endpoint).
#[derive(Debug)]
pub struct Imds {
    server: Server,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    clock: Clock,
    instance: Instance,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When each token ends.
    tokens: BTreeMap<String, Moment>,
    notice: Option<Value>,
    asked: Vec<(String, u16)>,
}

impl Imds {
    /// Starts it for an instance.
    ///
    /// # Errors
    ///
    /// Where loopback has no port left.
    pub fn start(instance: Instance, clock: Clock) -> io::Result<Self> {
        let shared = Arc::new(Shared { clock, instance, state: Mutex::default() });
        let server = Server::start(|_| {
            let shared = Arc::clone(&shared);
            move |request: &Request, _: &_| Reply::Send(shared.handle(request))
        })?;
        Ok(Self { server, shared })
    }

    /// Where it is.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// From now on there is a notice: the instance is to be interrupted in two minutes.
    pub fn give_spot_notice(&self) {
        let at = date(self.shared.clock.now() + WARNING);
        let notice = json!({ "action": "terminate", "time": at });
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner).notice = Some(notice);
    }

    /// What was asked, `GET /latest/..`, with the status of the answer.
    pub fn asked(&self) -> Vec<(String, u16)> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner).asked.clone()
    }
}

impl Shared {
    fn handle(&self, request: &Request) -> Response {
        let response = match request.method.as_str() {
            "PUT" => self.token(request),
            "GET" => self.get(request),
            _ => text(405, ""),
        };
        let asked = (format!("{} {}", request.method, request.path), response.status);
        self.state.lock().unwrap_or_else(PoisonError::into_inner).asked.push(asked);
        response
    }

    fn token(&self, request: &Request) -> Response {
        if request.path != "/latest/api/token" {
            return text(404, "");
        }
        // One that came through a proxy would give the token away.
        if request.header("x-forwarded-for").is_some() {
            return text(403, "");
        }
        let ttl = request.header("x-aws-ec2-metadata-token-ttl-seconds");
        let ttl = ttl.and_then(|ttl| ttl.parse().ok());
        let Some(ttl) = ttl.filter(|ttl| (1..=MOST_TTL_SECS).contains(ttl)) else {
            return text(400, "");
        };
        let token = Uuid::new_v4().simple().to_string();
        let end = self.clock.now() + Duration::from_secs(ttl);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.tokens.insert(token.clone(), end);
        text(200, &token).with("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", ttl.to_string())
    }

    fn get(&self, request: &Request) -> Response {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let token = request.header("x-aws-ec2-metadata-token");
        let end = token.and_then(|token| state.tokens.get(token));
        if end.is_none_or(|end| *end <= self.clock.now()) {
            return text(401, "");
        }
        let instance = &self.instance;
        match request.path.as_str() {
            "/latest/dynamic/instance-identity/document" => {
                Response::new(200, "application/json", self.identity().to_string())
            }
            "/latest/meta-data/ami-id" => text(200, &instance.image),
            "/latest/meta-data/instance-id" => text(200, &instance.id),
            "/latest/meta-data/instance-type" => text(200, &instance.instance_type),
            "/latest/meta-data/local-ipv4" => text(200, &instance.private_ip),
            "/latest/meta-data/placement/availability-zone" => text(200, &instance.zone),
            "/latest/meta-data/placement/region" => text(200, REGION),
            "/latest/meta-data/spot/instance-action" => match &state.notice {
                Some(notice) => Response::new(200, "application/json", notice.to_string()),
                None => text(404, ""),
            },
            _ => text(404, ""),
        }
    }

    fn identity(&self) -> Value {
        let Instance {
            id, instance_type, architecture, image, zone, private_ip, launched_at, ..
        } = &self.instance;
        json!({
            "accountId": ACCOUNT,
            "architecture": architecture,
            "availabilityZone": zone,
            "imageId": image,
            "instanceId": id,
            "instanceType": instance_type,
            "pendingTime": date(*launched_at),
            "privateIp": private_ip,
            "region": REGION,
            "version": "2017-09-30",
        })
    }
}

fn text(status: u16, body: &str) -> Response {
    Response::new(status, "text/plain", body)
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpStream,
    };

    use super::*;
    use crate::{Cloud, Event, Template};

    const TOKEN: &str = "PUT /latest/api/token";
    const IDENTITY: &str = "GET /latest/dynamic/instance-identity/document";
    const NOTICE: &str = "GET /latest/meta-data/spot/instance-action";

    fn ask(imds: &Imds, line: &str, header: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(imds.server.address()).unwrap();
        write!(stream, "{line} HTTP/1.1\r\n{header}\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// The service of an instance that a client launched.
    fn launched(cloud: &Cloud) -> Imds {
        let ec2 = cloud.ec2();
        ec2.add_image("ami", "arm64");
        ec2.add_subnet("subnet-a", "eu-central-1a");
        ec2.add_template("t", Template { image: "ami".to_owned(), ..Template::default() });
        let events = ec2.events();
        let asked = "Action=RunInstances&Version=2016-11-15&MinCount=1&MaxCount=1&InstanceType=t4g.small&LaunchTemplate.LaunchTemplateName=t";
        let headers = [
            ("Authorization", "Credential=K/1/eu-central-1/ec2/aws4_request"),
            ("Content-Type", "application/x-www-form-urlencoded"),
        ];
        let answer = crate::http::post(&cloud.endpoint(), &headers, asked.as_bytes()).unwrap();
        assert_eq!(answer.0, 200);
        let Ok(Event::Launched(instance)) = events.try_recv() else { panic!("no launch") };
        Imds::start(*instance, cloud.clock()).unwrap()
    }

    #[test]
    fn nothing_is_told_without_a_token_that_lives() {
        let cloud = Cloud::start();
        let imds = launched(&cloud);
        assert_eq!(ask(&imds, IDENTITY, "A: b").0, 401);
        assert_eq!(ask(&imds, IDENTITY, "X-aws-ec2-metadata-token: guessed").0, 401);
        for bad in ["A: b", "X-aws-ec2-metadata-token-ttl-seconds: 21601"] {
            assert_eq!(ask(&imds, TOKEN, bad).0, 400, "{bad}");
        }
        let (status, token) = ask(&imds, TOKEN, "X-aws-ec2-metadata-token-ttl-seconds: 60");
        assert_eq!(status, 200);
        let token = format!("X-aws-ec2-metadata-token: {token}");
        let (status, identity) = ask(&imds, IDENTITY, &token);
        let identity: Value = serde_json::from_str(&identity).unwrap();
        assert_eq!((status, &identity["instanceType"]), (200, &json!("t4g.small")));
        assert_eq!(identity["instanceId"], cloud.ec2().instances()[0].id);
        cloud.clock().advance(Duration::from_secs(60));
        assert_eq!(ask(&imds, IDENTITY, &token).0, 401);
    }

    #[test]
    fn a_notice_is_there_once_it_is_given() {
        let cloud = Cloud::start();
        let imds = launched(&cloud);
        let (_, token) = ask(&imds, TOKEN, "X-aws-ec2-metadata-token-ttl-seconds: 60");
        let token = format!("X-aws-ec2-metadata-token: {token}");
        assert_eq!(ask(&imds, NOTICE, &token).0, 404);
        imds.give_spot_notice();
        let (status, notice) = ask(&imds, NOTICE, &token);
        let notice: Value = serde_json::from_str(&notice).unwrap();
        assert_eq!((status, &notice["action"]), (200, &json!("terminate")));
        assert_eq!(imds.asked().last(), Some(&(NOTICE.to_owned(), 200)));
    }
}
