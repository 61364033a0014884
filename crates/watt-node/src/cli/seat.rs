//! `watt seat`.

use super::account::resolve;
use super::recovery::{self, ColdKeyCommand, SuccessionCommand};
use super::session::Session;
use super::verify;
use crate::api::{AccusedInfo, EvidencePiece, SeatEntry, SeatInfo, SeatsInfo, StandingInfo};
use crate::context::{Context, Recorded};
use crate::error::{CommandError, ErrorKind};
use crate::ui::{Table, bytes_text, time_text};
use clap::Subcommand;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use watt_light::Operation;
use watt_light::duty::Evidence;
use watt_light::operation::VOUCHERS;
use watt_primitives::codec;

/// The most bytes of one of the two things in a piece of evidence.
const SIGNED_BYTES_MAX: usize = 1 << 20;

/// The backbone's seats: who decides on blocks, and how to become one of them
#[derive(Debug, Subcommand)]
pub(super) enum SeatCommand {
    /// Show who votes, who holds the seats, what is planned, and who stands for one
    #[command(after_help = "Examples:\n  watt seat list\n  watt seat list --json | jq '.voters[].address'")]
    List,
    /// Tell how it is about a seat: what is held or wanted, what is missing, what to do
    #[command(after_help = "Examples:\n  watt seat status\n  watt seat status twatt1…")]
    Status {
        /// An address, or a name of `watt account list` [default: the account in use]
        who: Option<String>,
    },
    /// Offer to hold a seat; three people who trust you vouch for you
    #[command(
        long_about = "Offer to hold a seat; three people who trust you vouch for you.\n\nThey must have you in their circles now; they count once they have had you there for 90 days and if none of them is in another's. Whose rank is among the best works in shadow for 90 terms: runs a node, with node.seat_account_key naming this account's key. From then on free seats are drawn by lot.\n\nOffering it again names other people and keeps what was worked.",
        after_help = "Examples:\n  watt seat stand twatt1… twatt1… twatt1…"
    )]
    Stand {
        /// Addresses, or names of `watt account list`
        #[arg(required = true, num_args = VOUCHERS, value_name = "WHO")]
        vouchers: Vec<String>,
    },
    /// Take the offer back, or leave a seat as soon as somebody can take it
    #[command(after_help = "Examples:\n  watt seat leave")]
    Leave,
    /// Hand in what proves that a validator signed two contradicting things: what the node knows, or what two proof files show
    #[command(
        after_help = "Examples:\n  watt seat report\n  watt seat report block-42-1f00….proof block-42-9e31….proof"
    )]
    Report {
        /// Two proofs that contradict each other, as `watt peers check` keeps them
        #[arg(num_args = 2, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// The key, kept offline, that can name another voting key for a seat
    #[command(subcommand)]
    ColdKey(ColdKeyCommand),
    /// Take over from a voting key that is lost
    #[command(subcommand)]
    Succession(SuccessionCommand),
}

pub(super) async fn run(session: &Session, command: SeatCommand) -> Result<(), CommandError> {
    match command {
        SeatCommand::List => {
            let context = session.context().await?;
            let seats = context.api.seats().await?;
            session.ui.result(&seats, || list_text(&context, &seats))
        }
        SeatCommand::Status { who } => status(session, who.as_deref()).await,
        SeatCommand::Stand { vouchers } => stand(session, &vouchers).await,
        SeatCommand::Leave => leave(session).await,
        SeatCommand::Report { files } => report(session, &files).await,
        SeatCommand::ColdKey(command) => recovery::cold_key(session, command).await,
        SeatCommand::Succession(command) => recovery::succession(session, command).await,
    }
}

async fn status(session: &Session, who: Option<&str>) -> Result<(), CommandError> {
    let context = session.context().await?;
    let person = match who {
        None => context.account()?.id,
        Some(text) => resolve(session, &context, text)?,
    };
    let seat = context.api.seat(&person).await?;
    session.ui.result(&seat, || status_text(&context, &seat))
}

async fn stand(session: &Session, vouchers: &[String]) -> Result<(), CommandError> {
    let context = session.context().await?;
    let resolved = vouchers.iter().map(|text| resolve(session, &context, text));
    let resolved: Vec<_> = resolved.collect::<Result<_, _>>()?;
    let vouchers = <[_; VOUCHERS]>::try_from(resolved).map_err(|_| {
        CommandError::new(
            ErrorKind::Usage,
            "name three people",
            "watt seat stand WHO WHO WHO",
        )
    })?;
    let operation = Operation::StandForBackbone { vouchers };
    let recorded = context.transact(&session.ui, vec![operation]).await?;
    let seat = context.api.seat(&context.account()?.id).await?;
    let object = object(&recorded, json!({ "seat": seat }));
    session.ui.result(&object, || {
        let height = recorded.height;
        format!(
            "offered in block {height}: {}\nwatt seat status tells how it goes on",
            seat.summary
        )
    })
}

async fn leave(session: &Session) -> Result<(), CommandError> {
    let context = session.context().await?;
    let recorded = context
        .transact(&session.ui, vec![Operation::WithdrawFromBackbone {}])
        .await?;
    let seat = context.api.seat(&context.account()?.id).await?;
    let object = object(&recorded, json!({ "seat": seat }));
    session.ui.result(&object, || {
        format!("taken back in block {}: {}", recorded.height, seat.summary)
    })
}

/// Each piece in a transaction of its own: one that somebody else handed in meanwhile does not stop the others.
async fn report(session: &Session, files: &[PathBuf]) -> Result<(), CommandError> {
    let context = session.context().await?;
    let known = match files {
        [one, other] => of_files(&context, one, other)?,
        _ => of_node(&context).await?,
    };
    let (mut reported, mut refused) = (Vec::new(), Vec::new());
    for evidence in known {
        let node = evidence.key().to_string();
        let operation = Operation::ReportEvidence {
            evidence: Box::new(evidence),
        };
        match context.transact(&session.ui, vec![operation]).await {
            Ok(recorded) => reported.push(object(&recorded, json!({ "node": node }))),
            Err(error) if error.kind == ErrorKind::Other || error.kind == ErrorKind::Conflict => {
                refused.push(json!({ "node": node, "reason": error.message }));
            }
            Err(error) => return Err(error),
        }
    }
    let object = json!({ "reported": reported, "refused": refused });
    session.ui.result(&object, || {
        if reported.is_empty() && refused.is_empty() {
            return "nobody is known who contradicted themselves".to_owned();
        }
        let line = |what: &str, all: &[Value]| match all.len() {
            0 => None,
            n => Some(format!("{what}: {n}")),
        };
        let lines = [line("reported", &reported), line("not taken", &refused)];
        let reasons = refused
            .iter()
            .map(|one| format!("  {}: {}", one["node"], one["reason"]));
        lines
            .into_iter()
            .flatten()
            .chain(reasons)
            .collect::<Vec<_>>()
            .join("\n")
    })
}

/// The newest piece that the node has against each.
async fn of_node(context: &Context) -> Result<Vec<Evidence>, CommandError> {
    let known = context.api.evidence().await?;
    let of_accused = |accused: &AccusedInfo| {
        let pieces = known.evidence.iter();
        let mut pieces = pieces.filter(|piece| piece.node == accused.node).rev();
        pieces.find_map(|piece| evidence_of(context, piece))
    };
    Ok(known.nodes.iter().filter_map(of_accused).collect())
}

/// What two proofs show of whoever signed both.
fn of_files(context: &Context, one: &Path, other: &Path) -> Result<Vec<Evidence>, CommandError> {
    let (one, other) = (
        verify::verify(one, &context.network)?,
        verify::verify(other, &context.network)?,
    );
    let found = one.evidence(&other).ok_or_else(|| {
        CommandError::new(
            ErrorKind::Usage,
            "the two proofs do not contradict each other",
            "nothing is to be reported",
        )
    })?;
    let holds = |evidence: &Evidence| evidence.verify(&context.network).is_ok();
    Ok(found.into_iter().filter(holds).collect())
}

/// A piece of the node's evidence as the ledger takes it, if it is evidence at all.
fn evidence_of(context: &Context, piece: &EvidencePiece) -> Option<Evidence> {
    let [one, other] = piece.signed.each_ref().map(|text| from_hexadecimal(text));
    let (one, other) = (one?, other?);
    let evidence = match piece.kind.as_str() {
        "two-proposals" => Evidence::Proposals {
            one: codec::decode(&one, SIGNED_BYTES_MAX).ok()?,
            other: codec::decode(&other, SIGNED_BYTES_MAX).ok()?,
        },
        "two-commits" => Evidence::Statements {
            one: codec::decode(&one, SIGNED_BYTES_MAX).ok()?,
            other: codec::decode(&other, SIGNED_BYTES_MAX).ok()?,
        },
        _ => return None,
    };
    evidence.verify(&context.network).ok()?;
    Some(evidence)
}

fn from_hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    let byte = |two: &[u8]| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok();
    text.len()
        .is_multiple_of(2)
        .then(|| digits.map(byte).collect())
        .flatten()
}

/// What was recorded, with the fields of `more`.
fn object(recorded: &Recorded, more: Value) -> Value {
    let mut object = json!({
        "transaction": recorded.id.to_string(),
        "height": recorded.height,
        "fee": recorded.fee.to_string(),
    });
    if let (Some(object), Value::Object(more)) = (object.as_object_mut(), more) {
        object.extend(more);
    }
    object
}

/// What people call an address that the API told.
fn name(context: &Context, address: &str) -> String {
    let id = context.parse_address(address);
    id.map_or_else(|_| address.to_owned(), |id| context.name_of(&id))
}

fn list_text(context: &Context, seats: &SeatsInfo) -> String {
    let name = |address: &str| name(context, address);
    let mut voters = Table::new(&["VOTES", "WINDOWS THERE", "POWER", "LEADS", "KEY"]);
    for voter in &seats.voters {
        let there = format!("{} of {}", voter.attended, voter.windows);
        let leads = format!("{}.{} %", voter.leads_permille / 10, voter.leads_permille % 10);
        let power = bytes_text(voter.power_bytes);
        voters.row([name(&voter.address), there, power, leads, voter.node.to_string()]);
    }
    let (term, first, next) = (seats.term, seats.first_height, seats.next_height);
    let mut text = format!(
        "term {term}: blocks {first} to {}\n\n{voters}",
        next.saturating_sub(1)
    );
    if seats.seats.is_empty() {
        text.push_str("\n\nthe people of this backbone don't change: it has not 3f + 1 entries");
    } else {
        let mut table = Table::new(&["SEAT OF", "SINCE TERM", "NOW"]);
        for seat in &seats.seats {
            table.row([
                name(&seat.holder),
                seat.since.to_string(),
                seat_text(context, seat),
            ]);
        }
        text.push_str(&format!("\n\nseats of term {}:\n{table}", seats.seats_term));
    }
    for change in &seats.plan {
        let enters = name(&change.enters);
        let line = match &change.leaves {
            Some(leaves) => format!("{enters} comes for {} ({})", name(leaves), change.why),
            None => format!("{enters} takes a new seat"),
        };
        text.push_str(&format!("\nplanned: {line}"));
    }
    if seats.standing.is_empty() {
        text.push_str("\n\nnobody stands for a seat: watt seat stand WHO WHO WHO");
    } else {
        let mut table = Table::new(&["STANDS FOR A SEAT", "SINCE TERM", "IN SHADOW", "MAY BE DRAWN"]);
        for one in &seats.standing {
            table.row([
                name(&one.address),
                one.since.to_string(),
                format!("{} of {} terms", one.shadow_terms, one.shadow_terms_needed),
                drawn_text(one),
            ]);
        }
        text.push_str(&format!("\n\n{table}"));
    }
    text
}

fn seat_text(context: &Context, seat: &SeatEntry) -> String {
    let now = match (&seat.substitute, seat.away_since) {
        (Some(substitute), Some(since)) => {
            format!("silent: {} votes since term {since}", name(context, substitute))
        }
        (Some(_) | None, _) => "there".to_owned(),
    };
    if seat.is_leaving {
        format!("{now}, leaves")
    } else {
        now
    }
}

fn drawn_text(one: &StandingInfo) -> String {
    match (one.drawn_from, one.ranked_since) {
        (Some(from), _) => format!("from term {from} on"),
        (None, Some(_)) => "not yet".to_owned(),
        (None, None) => "not ranked among the best".to_owned(),
    }
}

fn status_text(context: &Context, seat: &SeatInfo) -> String {
    let mut text = format!("{}: {}", name(context, &seat.address), seat.summary);
    if let Some(next) = &seat.next {
        text.push_str(&format!("\n{next}"));
    }
    let mut table = Table::plain();
    table.row(["term".to_owned(), seat.term.to_string()]);
    if seat.is_voting || seat.standing.is_some() || seat.seat.is_some() {
        let votes = if seat.is_voting { "yes" } else { "no" };
        table.row(["votes".to_owned(), votes.to_owned()]);
        table.row([
            "windows there".to_owned(),
            format!("{} of {}", seat.attended, seat.windows),
        ]);
        let needed = match seat.power_bytes_needed {
            0 => String::new(),
            needed => format!("; a candidate needs {}", bytes_text(needed)),
        };
        table.row([
            "power".to_owned(),
            format!("{}{needed}", bytes_text(seat.power_bytes)),
        ]);
        let keys = match (seat.keys.first(), seat.keys.last()) {
            (Some(first), Some(last)) => format!("terms {first} to {last}"),
            (_, _) => "none".to_owned(),
        };
        table.row(["voting keys".to_owned(), keys]);
        let cold_key = if seat.has_cold_key { "registered" } else { "none" };
        table.row(["cold key".to_owned(), cold_key.to_owned()]);
    }
    if let Some(standing) = &seat.standing {
        let shadow = format!(
            "{} of {} terms",
            standing.shadow_terms, standing.shadow_terms_needed
        );
        table.row(["in shadow".to_owned(), shadow]);
        table.row(["may be drawn".to_owned(), drawn_text(standing)]);
    }
    for voucher in &seat.vouchers {
        let since = match (voucher.trusts_since, voucher.counts_from) {
            (Some(since), Some(from)) => {
                format!("since {}, counts from {}", time_text(since), time_text(from))
            }
            (_, _) => "does not trust you any more".to_owned(),
        };
        table.row([format!("vouched by {}", name(context, &voucher.address)), since]);
    }
    format!("{text}\n\n{table}")
}
