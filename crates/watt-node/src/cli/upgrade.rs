//! `watt upgrade`.

use super::session::Session;
use crate::api::{DecisionInfo, PlannedInfo, RescueInfo, UpgradesInfo};
use crate::context::Context;
use crate::error::CommandError;
use crate::ui::Table;
use clap::Subcommand;
use serde_json::json;
use watt_light::Operation;
use watt_primitives::Term;

/// The network's rules: which version is in force, which is decided, who is ready for it
#[derive(Debug, Subcommand)]
pub(super) enum UpgradeCommand {
    /// Show the version in force, what is decided, whose programs know it, and who decides
    #[command(after_help = "Examples:\n  watt upgrade status\n  watt upgrade status --json | jq '.planned'")]
    Status,
    /// As a member of the council, say which version of the rules the network shall follow
    #[command(
        long_about = "As a member of the council, say which version of the rules the network shall follow.\n\nFive of the seven members decide. The rules change with the first block of a term, two terms later at the soonest, once nearly all who vote run a program that knows the version; until that is certain, five can decide otherwise. Naming the version in force means to stay with it.",
        after_help = "Examples:\n  watt upgrade approve 2\n  watt upgrade approve 2 --not-before 40\n  watt upgrade approve 2 --account c1     one of the council of a devnet: c1 to c7"
    )]
    Approve {
        /// Version of the rules
        version: u32,
        /// First term that may follow it [default: as soon as possible]
        #[arg(long, value_name = "TERM", default_value_t = 0, hide_default_value = true)]
        not_before: u64,
    },
}

pub(super) async fn run(session: &Session, command: UpgradeCommand) -> Result<(), CommandError> {
    let context = session.context().await?;
    match command {
        UpgradeCommand::Status => {
            let upgrades = context.api.upgrades().await?;
            session.ui.result(&upgrades, || status_text(&context, &upgrades))
        }
        UpgradeCommand::Approve { version, not_before } => {
            approve(session, &context, version, Term(not_before)).await
        }
    }
}

async fn approve(
    session: &Session,
    context: &Context,
    version: u32,
    not_before: Term,
) -> Result<(), CommandError> {
    let operation = Operation::ApproveUpgrade { version, not_before };
    let recorded = context.transact(&session.ui, vec![operation]).await?;
    let upgrades = context.api.upgrades().await?;
    let object = json!({
        "transaction": recorded.id.to_string(),
        "height": recorded.height,
        "fee": recorded.fee.to_string(),
        "upgrades": upgrades,
    });
    session.ui.result(&object, || {
        let height = recorded.height;
        let agreeing = upgrades
            .approvals
            .iter()
            .filter(|said| said.version == version)
            .count();
        let needed = upgrades.council_needed;
        let decided = upgrades.decisions.first().filter(|one| one.height == height);
        match decided {
            Some(one) => format!("decided in block {height}: {}", decision_text(one)),
            None => format!(
                "said in block {height}: {agreeing} of the {needed} that are needed want version {version}"
            ),
        }
    })
}

fn status_text(context: &Context, upgrades: &UpgradesInfo) -> String {
    let name = |address: &String| {
        let id = context.parse_address(address);
        id.map_or_else(|_| address.clone(), |id| context.name_of(&id))
    };
    let (version, known) = (upgrades.version, upgrades.known);
    let mut text = format!(
        "version {version} of the rules is in force, in term {}",
        upgrades.term
    );
    if known < version {
        text.push_str(&format!(
            "\nthis node's program knows rules up to version {known}: it has stopped, update it"
        ));
    }
    if let Some(rescue) = &upgrades.rescue {
        text.push_str(&format!("\n{}", rescue_text(version, rescue)));
    }
    if let Some(planned) = &upgrades.planned {
        text.push_str(&format!("\n{}", planned_text(planned)));
        if known < planned.version && known >= version {
            text.push_str(&format!(
                "\nthis node's program knows rules up to version {known}: update it before then"
            ));
        }
    }
    let mut programs = Table::new(&["VOTES", "KNOWS VERSION"]);
    for one in &upgrades.programs {
        let knows = one
            .knows
            .map_or_else(|| "not told".to_owned(), |knows| knows.to_string());
        programs.row([name(&one.address), knows]);
    }
    text.push_str(&format!("\n\n{programs}"));
    let n_needed = upgrades.ready_needed;
    text.push_str(&format!(
        "\na version needs {n_needed} of {} to know it",
        upgrades.programs.len()
    ));
    if upgrades.has_council {
        let members: Vec<String> = upgrades.council.iter().map(name).collect();
        text.push_str(&format!(
            "\n\n{} of the council decide, before term {}: {}",
            upgrades.council_needed,
            upgrades.council_until,
            members.join(", ")
        ));
    } else {
        text.push_str("\n\nthere is no council that could decide: rules stay as they are");
    }
    for said in &upgrades.approvals {
        let who = name(&said.address);
        text.push_str(&format!(
            "\n{who} wants version {} (term {})",
            said.version, said.term
        ));
    }
    for one in &upgrades.decisions {
        text.push_str(&format!(
            "\ndecided in block {}: {}",
            one.height,
            decision_text(one)
        ));
    }
    text
}

fn rescue_text(version: u32, rescue: &RescueInfo) -> String {
    let (before, height, lapses) = (rescue.before, rescue.height, rescue.lapses);
    format!(
        "nobody decided it: the programs of those who vote follow it since block {height} as a rescue release, because {}\n\
         version {before} comes back with term {lapses}, unless the council stays with it: `watt upgrade approve {version}`",
        rescue.reason
    )
}

fn planned_text(planned: &PlannedInfo) -> String {
    let version = planned.version;
    match (planned.armed_for, planned.armed_height) {
        (Some(term), Some(height)) => {
            format!("certain: version {version} from block {height} on, the first of term {term}")
        }
        (_, _) => format!(
            "decided: version {version} from term {} on, as soon as enough programs know it; given up after term {}",
            planned.not_before, planned.lapses_after
        ),
    }
}

fn decision_text(one: &DecisionInfo) -> String {
    let version = one.version;
    match (one.outcome.as_str(), one.term) {
        ("in-force", Some(term)) => format!("version {version}, in force since term {term}"),
        ("armed", Some(term)) => format!("version {version}, from term {term} on"),
        ("rescued", Some(term)) => {
            let reason = &one.reason;
            format!("by a rescue release, not by the council: version {version}, until term {term}: {reason}")
        }
        ("ratified", _) => format!(
            "by a rescue release, and stayed with: version {version}: {}",
            one.reason
        ),
        ("replaced" | "lapsed", _) if !one.reason.is_empty() => {
            format!(
                "by a rescue release, and no more: version {version}: {}",
                one.reason
            )
        }
        ("waits", _) => format!("version {version}, not before term {}", one.not_before),
        ("replaced", _) => format!("version {version}, then decided otherwise"),
        ("lapsed", _) => format!("version {version}, given up: too few programs knew it"),
        (_, _) => format!("version {version} stays"),
    }
}
