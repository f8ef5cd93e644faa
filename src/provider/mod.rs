//! Services that need the network: where they are and how to authenticate.

pub mod gemini;
pub mod http;
pub mod lines;
pub mod pool;

#[derive(Debug, Default)]
pub struct Providers;
impl Providers {
    pub fn is_complete(&self) -> bool { false }
    pub fn job(&self, _: crate::job::Request) -> pool::Job {
        use futures_util::StreamExt as _;
        futures_util::stream::iter([crate::job::Event::Failed(crate::job::Failure::NoProvider)]).boxed()
    }
}
