//! What a client does with files: put, get, cat, ls, rm, status.

mod request;

pub use request::{
    CatRequest, GetReport, GetRequest, ListEntry, ListReport, PutReport, PutRequest, PutWait, RmReport, RmRequest,
    ShareState, ShareStatus, StatusReport, StatusRequest,
};
