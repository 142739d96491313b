use crate::message::{Answers, Name, Qtype};
#[derive(Debug)]
pub struct Wildcards;
#[derive(Clone, Copy, Debug)]
pub struct Tag(pub u64);
impl From<u64> for Tag { fn from(n: u64) -> Self { Self(n) } }
impl From<Tag> for u64 { fn from(n: Tag) -> Self { n.0 } }
pub enum Verdict { Real, Wild, Hold }
impl Wildcards {
    pub fn judge(&mut self, _: &[u8], _: Option<u8>, _: Qtype, _: &Answers, _: u32) -> Verdict { Verdict::Real }
    pub fn next_question(&mut self) -> Option<(Name, Qtype, Tag)> { None }
    pub fn has_question(&self) -> bool { false }
    pub fn learnt(&mut self, _: Tag, _: Option<Answers>) {}
    pub fn failed(&mut self, _: Tag) {}
    pub fn released(&mut self) -> Option<(u32, bool)> { None }
}
