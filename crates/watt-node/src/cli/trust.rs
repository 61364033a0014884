//! `watt trust`.

use super::account::resolve;
use super::session::Session;
use crate::api::TrustInfo;
use crate::error::CommandError;
use crate::ui::{Table, time_text};
use clap::{Subcommand, ValueEnum};
use serde_json::json;
use watt_light::Operation;
use watt_primitives::{AccountId, TrustLevel};

/// Say whom you trust: your security circle of at most five people
#[derive(Debug, Subcommand)]
pub(super) enum TrustCommand {
    /// Take somebody into your circle, or renew the trust in somebody who is there
    #[command(
        long_about = "Take somebody into your circle, or renew the trust in somebody who is there.\n\nEveryone can see it. A circle has at most five people and takes in two new ones in seven days; trust holds for a year.",
        after_help = "Examples:\n  watt trust add twatt1… --level close\n  watt trust add twatt1…"
    )]
    Add {
        /// An address, or a name of `watt account list`
        who: String,
        /// How well you know each other
        #[arg(long, value_enum, default_value = "in-person")]
        level: LevelArg,
    },
    /// Take somebody out of your circle, at once
    #[command(after_help = "Examples:\n  watt trust remove twatt1…")]
    Remove {
        /// An address, or a name of `watt account list`
        who: String,
    },
    /// Show who is in a circle, and in whose circles its owner is
    #[command(after_help = "Examples:\n  watt trust list\n  watt trust list twatt1…")]
    List {
        /// An address, or a name of `watt account list` [default: the account in use]
        who: Option<String>,
    },
}

/// How well somebody knows whom they trust.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum LevelArg {
    /// Met online
    Online,
    /// Met in person
    InPerson,
    /// Family, or a friend of years
    Close,
}

impl LevelArg {
    const fn level(self) -> TrustLevel {
        match self {
            Self::Online => TrustLevel::Online,
            Self::InPerson => TrustLevel::InPerson,
            Self::Close => TrustLevel::Close,
        }
    }
}

pub(super) async fn run(session: &Session, command: TrustCommand) -> Result<(), CommandError> {
    match command {
        TrustCommand::Add { who, level } => {
            let level = level.level();
            let done = format!("is in your circle ({})", level_text(level));
            change(session, &who, &done, |to| Operation::AddTrust { to, level }).await
        }
        TrustCommand::Remove { who } => {
            change(session, &who, "is no longer in your circle", |to| {
                Operation::RemoveTrust { to }
            })
            .await
        }
        TrustCommand::List { who } => list(session, who.as_deref()).await,
    }
}

async fn change(
    session: &Session,
    who: &str,
    done: &str,
    operation: impl FnOnce(AccountId) -> Operation,
) -> Result<(), CommandError> {
    let context = session.context().await?;
    let to = resolve(session, &context, who)?;
    let recorded = context.transact(&session.ui, vec![operation(to)]).await?;
    let address = context.address(&to);
    let object = json!({
        "to": address,
        "transaction": recorded.id.to_string(),
        "height": recorded.height,
        "fee": recorded.fee.to_string(),
    });
    session.ui.result(&object, || {
        format!("{address} {done} (recorded in block {})", recorded.height)
    })
}

async fn list(session: &Session, who: Option<&str>) -> Result<(), CommandError> {
    let context = session.context().await?;
    let person = match who {
        None => context.account()?.id,
        Some(text) => resolve(session, &context, text)?,
    };
    let trust = context.api.trust(&person).await?;
    session.ui.result(&trust, || text(&trust))
}

fn text(trust: &TrustInfo) -> String {
    if trust.circle.is_empty() && trust.trusted_by.is_empty() {
        return "nobody is in this circle, and it is in nobody's: watt trust add ADDRESS".to_owned();
    }
    let mut table = Table::new(&["TRUSTS", "LEVEL", "UNTIL", "TRUSTS BACK"]);
    for member in &trust.circle {
        let is_mutual = if member.is_mutual { "yes" } else { "no" };
        table.row([
            member.address.clone(),
            level_text(member.level).to_owned(),
            time_text(member.expires_at),
            is_mutual.to_owned(),
        ]);
    }
    let mut trusters = Table::new(&["TRUSTED BY", "LEVEL"]);
    for truster in &trust.trusted_by {
        trusters.row([truster.address.clone(), level_text(truster.level).to_owned()]);
    }
    format!("{table}\n\n{trusters}")
}

const fn level_text(level: TrustLevel) -> &'static str {
    match level {
        TrustLevel::Online => "met online",
        TrustLevel::InPerson => "met in person",
        TrustLevel::Close => "close",
    }
}
