use crate::message::{Name, Qclass, Qtype};
use std::net::SocketAddr;
#[derive(Debug)]
pub struct Question { pub number: u64, pub name: Result<Name, Vec<u8>>, pub qtype: Qtype, pub qclass: Qclass, pub server: Option<SocketAddr>, pub root: Option<u8> }
impl Default for Question { fn default() -> Self { Self { number: 0, name: Ok(Name::ROOT), qtype: Qtype(1), qclass: Qclass(1), server: None, root: None } } }
pub enum Pull { Question, Later, End }
pub trait Source: Send { fn next(&mut self, question: &mut Question) -> Pull; }
