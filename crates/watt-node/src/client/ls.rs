//! What this machine stored on this network.

use super::journal::unfinished;
use super::request::{ListEntry, ListReport};
use super::stored::StoredList;
use crate::context::Context;
use crate::error::CommandError;
use crate::ui::Ui;

/// Lists stored files, newest first, puts that were not finished among them.
///
/// # Errors
/// The list can't be read, or nobody answers.
pub async fn ls(context: &Context, _ui: &Ui) -> Result<ListReport, CommandError> {
    let client_dir = context.home.client_dir(&context.network);
    let now = context.api.status().await?.ledger_time;
    let stored = StoredList::of(&client_dir).read()?;
    let begun = unfinished(&client_dir.join("puts"), &stored)?;
    let stored = stored.into_iter().map(|file| ListEntry {
        state: (if file.expires_at <= now {
            "expired"
        } else {
            "stored"
        })
        .to_owned(),
        name: file.name,
        link: file.link,
        cid: file.cid,
        bytes: file.bytes,
        stored_at: file.stored_at,
        expires_at: file.expires_at,
    });
    let begun = begun.into_iter().map(|put| ListEntry {
        name: put.name,
        link: String::new(),
        cid: String::new(),
        bytes: put.len,
        stored_at: put.started_at,
        expires_at: 0,
        state: "unfinished".to_owned(),
    });
    let mut files: Vec<ListEntry> = stored.chain(begun).collect();
    files.sort_by_key(|file| std::cmp::Reverse(file.stored_at));
    Ok(ListReport { files })
}
