//! What a client does with files: put, get, cat, ls, rm, status.
//!
//! Everything is checked here and nobody is trusted: the ledger says who holds what, holders send bytes that are compared
//! with what the link names, and a put writes down what it is about to do before it does it.
//!
//! Reading order: `source` and `journal` (what a put remembers), `price`, `put`, `upload`, `wire` (one conversation with one
//! holder), `find` (from a link to holders), `download`, `get` and `cat`, `stored` and `ls`, `rm`, `status`.

mod cat;
mod check;
mod download;
mod find;
mod get;
mod journal;
mod ls;
pub(crate) mod net;
mod part;
mod place;
mod price;
mod put;
mod request;
mod rm;
mod source;
mod stagger;
mod status;
mod stored;
mod upload;
pub(crate) mod wire;

pub use cat::cat;
pub use get::get;
pub use ls::ls;
pub use put::put;
pub use request::{
    Answer, CatRequest, DisputedShare, GetReport, GetRequest, ListEntry, ListReport, LostShare, ProofState,
    PutReport, PutRequest, PutWait, RmReport, RmRequest, ShareState, ShareStatus, StatusReport,
    StatusRequest,
};
pub use rm::rm;
pub use status::status;
