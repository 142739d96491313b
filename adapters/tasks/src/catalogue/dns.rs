//! The task that asks resolvers, with packets of its own.

use std::net::{IpAddr, SocketAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{DataRef, bare_metal::check_rate, internal::check_field};
use crate::{
    AddressRange, Check, DomainName, Scope,
    scope::{Refusal, Refused, Targeted},
    task,
};

task! {
    /// Says what DNS says of some names, and keeps it in recon.
    pub struct DnsScan;
    requires: [TaskDataAccess, ReconDataAccess, RawSocketAccess];
    input: DnsScanInput;
    output: Value;
}

/// See [`DnsScan`]. Its output are the records of `mrpf dns`, one for each type of each name. It has names, or items with
/// names, or both.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DnsScanInput {
    /// Names that are asked about. The manager takes out those outside of the workflow's scope, and so does the worker.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<DomainName>,
    /// Items that have names. The worker takes out those outside of the scope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<DataRef>,
    /// Which field of the items.
    #[serde(default = "name", skip_serializing_if = "is_name")]
    pub field: String,
    /// Which records are asked for: `A`, `AAAA`, `TYPE65`.
    pub types: Vec<String>,
    /// Who is asked, as `198.51.100.53`, `198.51.100.53:5353` or `[2001:db8::53]:53`. They lie in no scope: who submits the
    /// workflow may ask them. Those on the blocklist are not asked.
    pub resolvers: Vec<String>,
    /// Queries a second, all together.
    pub rate: u64,
    /// Queries a second for one resolver.
    pub resolver_rate: u64,
    /// Further attempts after silence, SERVFAIL or REFUSED.
    pub retries: u8,
}

const NAME: &str = "/name";

fn name() -> String {
    NAME.to_owned()
}

fn is_name(field: &str) -> bool {
    field == NAME
}

impl DnsScanInput {
    /// Resolvers, as far as they can be read.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.resolvers.iter().filter_map(|text| resolver(text))
    }
}

/// The address and port of a resolver.
fn resolver(text: &str) -> Option<SocketAddr> {
    const PORT: u16 = 53;
    let plain = text.parse::<IpAddr>().map(|addr| SocketAddr::new(addr, PORT));
    plain.ok().or_else(|| text.parse().ok()).filter(|addr| addr.port() != 0)
}

impl Check for DnsScanInput {
    fn check(&self) -> Result<(), String> {
        if self.names.is_empty() && self.from.is_none() {
            return Err("names: there are none, and from is not there".to_owned());
        }
        if self.types.is_empty() {
            return Err("types: there are none".to_owned());
        }
        if self.resolvers.is_empty() {
            return Err("resolvers: there are none".to_owned());
        }
        if let Some(bad) = self.resolvers.iter().find(|text| resolver(text).is_none()) {
            return Err(format!("resolvers: {bad:?} is no address such as 198.51.100.53"));
        }
        check_field(&self.field)?;
        check_rate(self.rate)?;
        if self.resolver_rate == 0 {
            Err("resolver_rate: must be 1 or more".to_owned())
        } else {
            Ok(())
        }
    }
}

impl Targeted for DnsScanInput {
    fn cut(&mut self, scope: &Scope, blocklist: &[AddressRange]) -> Vec<Refused> {
        let mut refused = Vec::new();
        self.names.retain(|name| match scope.refusal_of(name) {
            None => true,
            Some(why) => {
                refused.push(Refused { what: name.to_string(), why });
                false
            }
        });
        let blocked = AddressRange::merged(blocklist);
        self.resolvers.retain(|text| match resolver(text) {
            Some(addr) if AddressRange::any_of(&blocked, addr.ip()) => {
                let what = AddressRange::one(addr.ip()).to_string();
                refused.push(Refused { what, why: Refusal::Blocklisted });
                false
            }
            _ => true,
        });
        refused
    }

    fn has_no_target(&self) -> bool {
        self.names.is_empty() && self.from.is_none() || self.resolvers.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn input(more: Value) -> DnsScanInput {
        let mut input = json!({
            "names": ["a.example.org"], "types": ["A"], "resolvers": ["198.51.100.53"], "rate": 1, "resolver_rate": 1, "retries": 1,
        });
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(input).unwrap()
    }

    #[test]
    fn a_dns_scan_has_names_or_items_types_and_resolvers() {
        let from = json!({ "collection": crate::CollectionId::fresh() });
        for good in [
            json!({}),
            json!({ "names": [], "from": from, "field": "" }),
            json!({ "resolvers": ["2001:db8::53", "198.51.100.53:5353", "[2001:db8::53]:53"] }),
        ] {
            assert_eq!(input(good).check(), Ok(()));
        }
        for (bad, why) in [
            (json!({ "names": [] }), "names: "),
            (json!({ "types": [] }), "types: "),
            (json!({ "resolvers": [] }), "resolvers: there are none"),
            (json!({ "resolvers": ["ns.example.org"] }), "resolvers: \"ns.example.org\""),
            (json!({ "resolvers": ["198.51.100.53:0"] }), "resolvers: \"198.51.100.53:0\""),
            (json!({ "field": "name" }), "field: "),
            (json!({ "rate": 0 }), "rate: "),
            (json!({ "resolver_rate": 0 }), "resolver_rate: "),
        ] {
            let error = input(bad.clone()).check().unwrap_err();
            assert!(error.starts_with(why), "{bad}: {error}");
        }
    }

    #[test]
    fn names_outside_and_resolvers_that_are_blocked_are_taken_out() {
        let scope: Scope = serde_json::from_value(
            json!({ "domains": ["example.org"], "exclude": ["x.example.org"] }),
        )
        .unwrap();
        let mut input = input(json!({
            "names": ["a.example.org", "example.com", "b.x.example.org"],
            "resolvers": ["198.51.100.53", "203.0.113.53:5353", "2001:db8::53"],
        }));
        let blocklist = ["203.0.113.0/24".parse().unwrap()];
        let refused: Vec<_> =
            input.cut(&scope, &blocklist).into_iter().map(|it| (it.what, it.why)).collect();
        assert_eq!(
            refused,
            [
                ("example.com".to_owned(), Refusal::OutOfScope),
                ("b.x.example.org".to_owned(), Refusal::Excluded),
                ("203.0.113.53".to_owned(), Refusal::Blocklisted),
            ]
        );
        assert_eq!(input.names, ["a.example.org".parse().unwrap()]);
        assert_eq!(input.resolvers, ["198.51.100.53", "2001:db8::53"]);
        assert!(!input.has_no_target());
        input.cut(&scope, &["198.51.100.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()]);
        assert!(input.has_no_target());
    }
}
