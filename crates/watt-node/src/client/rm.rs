//! Giving a file up: its deals end, and what was not earned comes back.

use super::find;
use super::journal::{Unfinished, unfinished};
use super::request::{RmReport, RmRequest};
use super::stored::{StoredFile, StoredList};
use crate::api::DealsFilter;
use crate::api::types::{DealInfo, DealStage, PaidInfo};
use crate::context::Context;
use crate::error::{CommandError, ErrorKind};
use crate::ui::Ui;
use watt_light::Operation;
use watt_light::transaction::OPERATIONS_MAX;
use watt_primitives::{Amount, Cid};

/// What a name or link stands for.
enum Target {
    File(Cid),
    Put(Unfinished),
}

/// Ends every deal of a file and forgets it.
///
/// # Errors
/// No such file, or somebody else pays for it.
pub async fn rm(context: &Context, ui: &Ui, request: RmRequest) -> Result<RmReport, CommandError> {
    let client_dir = context.home.client_dir(&context.network);
    let list = StoredList::of(&client_dir);
    let stored = list.read()?;
    let target = match is_link(&request.link) {
        true => Target::File(find::parse_link(&request.link, &context.network)?.manifest),
        false => by_name(
            &request.link,
            &stored,
            unfinished(&client_dir.join("puts"), &stored)?,
        )?,
    };
    let (deals, cid) = match &target {
        Target::File(cid) => (
            context.api.deals(DealsFilter::Manifest(*cid)).await?,
            cid.to_string(),
        ),
        Target::Put(put) => (deals_of(context, put).await?, String::new()),
    };
    let me = context.address(&context.account()?.id);
    let n_deals = deals.len();
    let mine: Vec<DealInfo> = deals
        .into_iter()
        .filter(|deal| deal.client == me && can_end(&deal.stage))
        .collect();
    let is_known = stored.iter().any(|file| file.cid == cid) || matches!(target, Target::Put(_));
    if mine.is_empty() && !is_known {
        return Err(nothing_to_end(n_deals));
    }
    for group in mine.chunks(OPERATIONS_MAX) {
        let operations = group
            .iter()
            .map(|deal| Operation::Terminate { deal: deal.id })
            .collect();
        context.transact(ui, operations).await?;
    }
    let mut ended = Vec::with_capacity(mine.len());
    for deal in &mine {
        ended.push(context.api.deal(deal.id).await?);
    }
    match target {
        Target::File(_) => list.remove(&cid)?,
        Target::Put(put) => {
            std::fs::remove_dir_all(&put.dir)
                .map_err(|error| CommandError::file("remove", &put.dir, &error))?;
        }
    }
    Ok(report(cid, &ended))
}

/// What the ledger says of deals that are over.
fn report(cid: String, ended: &[DealInfo]) -> RmReport {
    let sum = |amount: fn(&DealInfo) -> Amount| {
        Amount::checked_sum(ended.iter().map(amount)).unwrap_or(Amount::ZERO)
    };
    RmReport {
        cid,
        deals: ended.iter().map(|deal| deal.id.to_string()).collect(),
        refunded: sum(|deal| deal.refunded),
        paid: sum(|deal| deal.paid),
        paid_for: PaidInfo {
            proven: sum(|deal| deal.paid_for.proven),
            reserved: sum(|deal| deal.paid_for.reserved),
            early_end: sum(|deal| deal.paid_for.early_end),
        },
    }
}

fn is_link(text: &str) -> bool {
    text.trim()
        .get(..5)
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case("watt:"))
}

const fn can_end(stage: &DealStage) -> bool {
    match stage {
        DealStage::Matched { .. } | DealStage::Active { .. } => true,
        DealStage::Open | DealStage::Ending { .. } | DealStage::Ended { .. } => false,
    }
}

fn by_name(name: &str, stored: &[StoredFile], puts: Vec<Unfinished>) -> Result<Target, CommandError> {
    let files: Vec<&StoredFile> = stored.iter().filter(|file| file.name == name).collect();
    let mut puts: Vec<Unfinished> = puts.into_iter().filter(|put| put.name == name).collect();
    match (files.as_slice(), puts.len()) {
        ([file], 0) => file.cid.parse().map(Target::File).map_err(|error| {
            let message = format!("the list of stored files is damaged: {error}");
            CommandError::new(
                ErrorKind::VerificationFailed,
                message,
                "name the file by its link",
            )
        }),
        ([], 1) => Ok(Target::Put(puts.remove(0))),
        ([], 0) => Err(CommandError::new(
            ErrorKind::NotFound,
            format!("this machine stored no file called {name}"),
            "see `watt ls`, or give the link in quotes",
        )),
        (files, n_puts) => Err(CommandError::new(
            ErrorKind::Usage,
            format!("{} files are called {name}", files.len() + n_puts),
            "say which one by its link: see `watt ls --json`",
        )),
    }
}

async fn deals_of(context: &Context, put: &Unfinished) -> Result<Vec<DealInfo>, CommandError> {
    let mut deals = Vec::new();
    for id in &put.deals {
        match context.api.deal(*id).await {
            Ok(deal) => deals.push(deal),
            Err(error) if error.kind == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(deals)
}

fn nothing_to_end(n_deals: usize) -> CommandError {
    if n_deals > 0 {
        return CommandError::new(
            ErrorKind::NotAllowed,
            "this account does not pay for the file, or its term is over already",
            "use the account that stored it: --account NAME",
        );
    }
    CommandError::new(
        ErrorKind::NotFound,
        "no deal keeps this file any more",
        "nothing to do",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, cid: Cid) -> StoredFile {
        StoredFile {
            name: name.to_owned(),
            link: String::new(),
            cid: cid.to_string(),
            bytes: 0,
            stored_at: 0,
            expires_at: 0,
            deals: Vec::new(),
        }
    }

    /// A name stands for one file or for none; a guess could remove the wrong one. Covers: C1.
    #[test]
    fn a_name_must_be_unambiguous() {
        let (a, b) = (Cid::of_block(b"a"), Cid::of_block(b"b"));
        let stored = [file("x", a), file("y", a), file("y", b)];
        assert!(matches!(by_name("x", &stored, Vec::new()), Ok(Target::File(cid)) if cid == a));
        assert_eq!(
            by_name("y", &stored, Vec::new()).err().unwrap().kind,
            ErrorKind::Usage
        );
        assert_eq!(
            by_name("z", &stored, Vec::new()).err().unwrap().kind,
            ErrorKind::NotFound
        );
        assert!(is_link("WATT:bafy") && !is_link("wat") && !is_link("photo.jpg"));
    }
}
