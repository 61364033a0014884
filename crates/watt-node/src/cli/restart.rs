//! `watt node restart-plan`: people begin again where too much is lost for ever (`docs/spec/node.md` §12).

use super::provider::owner_client;
use super::session::Session;
use crate::api::OwnerRoute;
use crate::api::restart::{
    Encoded, PlanInfo, RestartsInfo, SeatToDraft, ToAccept, ToDraft, from_hex, to_hex,
};
use crate::error::{CommandError, ErrorKind};
use crate::keyfile;
use crate::restart_file::read;
use clap::Subcommand;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::path::{Path, PathBuf};
use watt_light::restart::{ASSENTS_MAX, Assent, RESTART_BYTES_MAX};
use watt_light::{Restart, RestartPlan};
use watt_primitives::id::AddressKind;
use watt_primitives::{AccountId, BoundedVec, Hash, NodeId, Signature, codec};

/// Begin again, where more seats are lost for ever than cold keys bring back
///
/// Whoever still votes drafts a plan from the newest block: who votes from then on. All of these sign it, and two thirds of those who are
/// asked. Every owner looks at it with the node for three days, and accepts it or not. A later block that somebody shows in that time
/// refuses the plan for ever.
#[derive(Debug, Subcommand)]
pub(super) enum RestartCommand {
    /// Write a plan from the newest block of a node
    ///
    /// A seat is an account, with `=` and the voting key that it shall have if that is another than now: `watt node restart-plan key`
    /// makes one. A network that elects needs 1, 4, 7 or another of 3 f + 1 seats.
    #[command(
        after_help = "Examples:\n  watt node restart-plan draft twatt1aaa… twatt1bbb… twatt1ccc…=4f1c… twatt1ddd…=90ab… --reason \"two disks are lost\" -o plan"
    )]
    Draft {
        /// Who is to vote: ADDRESS, or ADDRESS=KEY
        #[arg(required = true)]
        seats: Vec<String>,
        /// Why, for people; at most 200 bytes
        #[arg(long)]
        reason: String,
        /// Where the plan goes
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
        /// A node of your devnet [default: the node of your configuration]
        #[arg(long, value_name = "NAME")]
        node: Option<String>,
    },
    /// Make a new voting key for a seat of a plan, in a new file
    #[command(after_help = "Examples:\n  watt node restart-plan key voting.key")]
    Key {
        /// Where the key goes; name it as `node.validator_key`
        file: PathBuf,
    },
    /// Sign a plan: with the key that votes by it, with the key of an account, or both; needs no network
    #[command(
        after_help = "Examples:\n  watt node restart-plan sign plan --voting-key voting.key --account-key account.key -o signed-by-me"
    )]
    Sign {
        /// What `draft` wrote
        plan: PathBuf,
        /// The file of a key that votes by the plan
        #[arg(long, value_name = "FILE")]
        voting_key: Option<PathBuf>,
        /// The file of an owner key of your account
        #[arg(long, value_name = "FILE")]
        account_key: Option<PathBuf>,
        /// The account, if the key is not its first
        #[arg(long, value_name = "ADDRESS", requires = "account_key")]
        account: Option<String>,
        /// The place of the key among the account's
        #[arg(long, default_value_t = 0, requires = "account_key")]
        key_index: u16,
        /// Where the signatures go
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
    },
    /// Put the signatures of many into one file, which is what owners take
    #[command(after_help = "Examples:\n  watt node restart-plan collect plan anna ben carla -o signed")]
    Collect {
        /// What `draft` wrote
        plan: PathBuf,
        /// What `sign` wrote
        #[arg(required = true)]
        signatures: Vec<PathBuf>,
        /// Where the signed plan goes
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
    },
    /// Show a signed plan to a node, which looks at it from then on; and accept it with `--accept`
    #[command(
        after_help = "Examples:\n  watt node restart-plan take signed\n  watt node restart-plan take signed --accept"
    )]
    Take {
        /// What `collect` wrote
        signed: PathBuf,
        /// Accept it, too
        #[arg(long)]
        accept: bool,
        /// A node of your devnet [default: the node of your configuration]
        #[arg(long, value_name = "NAME")]
        node: Option<String>,
    },
    /// Accept the plan that a node looks at, or take that back with `--no`
    #[command(
        after_help = "Examples:\n  watt node restart-plan accept 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    )]
    Accept {
        /// Its hash, as `show` says
        #[arg(value_parser = plan_hash)]
        plan: Hash,
        /// Do not follow it
        #[arg(long)]
        no: bool,
        /// A node of your devnet [default: the node of your configuration]
        #[arg(long, value_name = "NAME")]
        node: Option<String>,
    },
    /// Show the plan that a node looks at, who agreed to it, and how long it takes
    #[command(after_help = "Examples:\n  watt node restart-plan show")]
    Show {
        /// A node of your devnet [default: the node of your configuration]
        #[arg(long, value_name = "NAME")]
        node: Option<String>,
    },
}

/// Signatures under one plan.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signatures {
    plan: Hash,
    voters: BoundedVec<(NodeId, Signature), 61>,
    people: BoundedVec<Assent, ASSENTS_MAX>,
}

fn plan_hash(text: &str) -> Result<Hash, String> {
    Hash::from_hex(text).ok_or_else(|| "a plan's hash has 64 hexadecimal digits".to_owned())
}

pub(super) async fn run(session: &Session, command: RestartCommand) -> Result<(), CommandError> {
    match command {
        RestartCommand::Draft {
            seats,
            reason,
            output,
            node,
        } => draft(session, &seats, reason, &output, node.as_deref()).await,
        RestartCommand::Key { file } => key(session, &file),
        RestartCommand::Sign {
            plan,
            voting_key,
            account_key,
            account,
            key_index,
            output,
        } => {
            let account_key = account_key.map(|file| (file, account, key_index));
            sign(session, &plan, voting_key.as_deref(), account_key, &output)
        }
        RestartCommand::Collect {
            plan,
            signatures,
            output,
        } => collect(session, &plan, &signatures, &output),
        RestartCommand::Take { signed, accept, node } => {
            take(session, &signed, accept, node.as_deref()).await
        }
        RestartCommand::Accept { plan, no, node } => {
            let client = owner_client(session, node.as_deref())?;
            let asked = ToAccept { plan, accept: !no };
            let path = OwnerRoute::RestartAccept.path();
            let known: RestartsInfo = client.post_with(path, &asked).await?;
            tell(session, &known, &circle(session).await)
        }
        RestartCommand::Show { node } => {
            let client = owner_client(session, node.as_deref())?;
            let known: RestartsInfo = client.get(OwnerRoute::Restarts.path()).await?;
            tell(session, &known, &circle(session).await)
        }
    }
}

async fn draft(
    session: &Session,
    seats: &[String],
    reason: String,
    output: &Path,
    node: Option<&str>,
) -> Result<(), CommandError> {
    let seat = |text: &String| match text.split_once('=') {
        Some((account, key)) => SeatToDraft {
            account: account.to_owned(),
            key: Some(key.to_owned()),
        },
        None => SeatToDraft {
            account: text.clone(),
            key: None,
        },
    };
    let asked = ToDraft {
        seats: seats.iter().map(seat).collect(),
        reason,
    };
    let client = owner_client(session, node)?;
    let drafted: Encoded = client.post_with(OwnerRoute::RestartDraft.path(), &asked).await?;
    let no_plan = || {
        let message = "the node's answer is no plan";
        CommandError::new(
            ErrorKind::VerificationFailed,
            message,
            "use the same version of watt everywhere",
        )
    };
    let bytes = from_hex(&drafted.bytes).ok_or_else(no_plan)?;
    let plan: RestartPlan = codec::decode(&bytes, RESTART_BYTES_MAX).map_err(|_| no_plan())?;
    keyfile::write_new_private(output, &bytes)?;
    let (hash, base) = (plan.hash(), plan.base.height.0);
    let object = json!({ "file": output, "plan": hash.to_string(), "base": base, "seats": seats.len() });
    session.ui.result(&object, || {
        format!(
            "plan {hash}: from block {base} on {} vote\neverybody signs it: watt node restart-plan sign {} --voting-key FILE --account-key FILE -o signatures",
            seats.len(),
            output.display()
        )
    })
}

fn key(session: &Session, file: &Path) -> Result<(), CommandError> {
    let key = keyfile::create(file)?.node_id();
    let object = json!({ "file": file, "key": key.to_string() });
    session.ui.result(&object, || format!("{key}"))
}

fn sign(
    session: &Session,
    plan: &Path,
    voting_key: Option<&Path>,
    account_key: Option<(PathBuf, Option<String>, u16)>,
    output: &Path,
) -> Result<(), CommandError> {
    let plan: RestartPlan = read(plan, "plan")?;
    let (mut voters, mut people) = (Vec::new(), Vec::new());
    if let Some(file) = voting_key {
        let key = keyfile::read(file)?;
        voters.push((key.node_id(), plan.sign(&key)));
    }
    if let Some((file, account, key_index)) = account_key {
        let key = keyfile::read(&file)?;
        let account = match account {
            None => AccountId::of_first_key(&key.public()),
            Some(text) => [AddressKind::Main, AddressKind::Test]
                .into_iter()
                .find_map(|kind| AccountId::parse_address(&text, kind).ok())
                .ok_or_else(|| {
                    let message = format!("`{text}` is no address");
                    CommandError::new(ErrorKind::Usage, message, "it begins with watt1 or twatt1")
                })?,
        };
        people.push(Assent {
            account,
            key_index,
            key: key.public(),
            signature: plan.sign(&key),
        });
    }
    if voters.is_empty() && people.is_empty() {
        return Err(CommandError::new(
            ErrorKind::Usage,
            "which key signs?",
            "name --voting-key FILE, --account-key FILE, or both",
        ));
    }
    let hash = plan.hash();
    let (n_voters, n_people) = (voters.len(), people.len());
    let signatures = Signatures {
        plan: hash,
        voters: BoundedVec::new(voters).unwrap_or_default(),
        people: BoundedVec::new(people).unwrap_or_default(),
    };
    keyfile::write_new_private(output, &codec::encode(&signatures))?;
    let (base, reason) = (plan.base.height.0, plan.reason.as_str());
    let object = json!({ "file": output, "plan": hash.to_string(), "voters": n_voters, "people": n_people });
    session.ui.result(&object, || {
        format!(
            "signed: plan {hash}, restart {} of the network, from block {base} on ({reason})",
            plan.restart_no
        )
    })
}

fn collect(session: &Session, plan: &Path, files: &[PathBuf], output: &Path) -> Result<(), CommandError> {
    let plan: RestartPlan = read(plan, "plan")?;
    let hash = plan.hash();
    let (mut voters, mut people) = (Vec::new(), Vec::new());
    for file in files {
        let signatures: Signatures = read(file, "signatures")?;
        if signatures.plan != hash {
            let message = format!("{} has signatures under another plan", file.display());
            return Err(CommandError::new(
                ErrorKind::VerificationFailed,
                message,
                "sign this plan again",
            ));
        }
        voters.extend(signatures.voters.into_inner());
        people.extend(signatures.people.into_inner());
    }
    people.sort_unstable_by_key(|assent| assent.account);
    people.dedup_by_key(|assent| assent.account);
    let of_voter = |key: &NodeId| {
        voters
            .iter()
            .find(|(node, _)| node == key)
            .map(|(_, signature)| *signature)
    };
    let mut of_voters = Vec::new();
    for entry in plan.backbone.entries() {
        of_voters.push(of_voter(&entry.key).ok_or_else(|| {
            let message = format!("the signature of voting key {} is missing", entry.key);
            CommandError::new(
                ErrorKind::NotFound,
                message,
                "everybody who votes by the plan signs it",
            )
        })?);
    }
    let too_many = |_| {
        CommandError::new(
            ErrorKind::Usage,
            "these are too many signatures",
            "leave some out",
        )
    };
    let (n_voters, n_people) = (of_voters.len(), people.len());
    let restart = Restart {
        plan,
        voters: BoundedVec::new(of_voters).map_err(too_many)?,
        people: BoundedVec::new(people).map_err(too_many)?,
    };
    keyfile::write_new_private(output, &codec::encode(&restart))?;
    let object = json!({ "file": output, "plan": hash.to_string(), "voters": n_voters, "people": n_people });
    session.ui.result(&object, || {
        format!(
            "{n_voters} voters and {n_people} people signed\nevery owner takes it: watt node restart-plan take {} --accept",
            output.display()
        )
    })
}

async fn take(
    session: &Session,
    signed: &Path,
    accept: bool,
    node: Option<&str>,
) -> Result<(), CommandError> {
    let restart: Restart = read(signed, "signed plan")?;
    let client = owner_client(session, node)?;
    let bytes = to_hex(&codec::encode(&restart));
    let path = OwnerRoute::RestartLookAt.path();
    let mut known: RestartsInfo = client.post_with(path, &Encoded { bytes }).await?;
    if accept {
        let plan = restart.plan.hash();
        let asked = ToAccept { plan, accept };
        known = client.post_with(OwnerRoute::RestartAccept.path(), &asked).await?;
    }
    tell(session, &known, &circle(session).await)
}

/// The people whom the owner trusts, as far as there is an account whose circle can be read.
async fn circle(session: &Session) -> Vec<String> {
    let read = async {
        let context = session.context().await.ok()?;
        let who = context.account().ok()?.id;
        context.api.trust(&who).await.ok()
    };
    let trust = read.await;
    let members = trust.map(|trust| trust.circle).unwrap_or_default();
    members.into_iter().map(|member| member.address).collect()
}

fn tell(session: &Session, known: &RestartsInfo, circle: &[String]) -> Result<(), CommandError> {
    session.ui.result(known, || {
        let mut lines = Vec::new();
        match &known.looked_at {
            Some(plan) => lines.extend(describe(plan, circle)),
            None if known.restarts > 0 => {
                lines.push(format!(
                    "the network was restarted {} times by its people; this node follows",
                    known.restarts
                ));
            }
            None => lines.push("this node looks at no plan to restart the network".to_owned()),
        }
        for one in &known.refuted {
            lines.push(format!(
                "plan {} is refused for ever: it begins with block {}, and block {} is decided and proven",
                one.plan, one.base, one.height
            ));
        }
        lines.join("\n")
    })
}

fn describe(plan: &PlanInfo, circle: &[String]) -> Vec<String> {
    let n_follow = circle
        .iter()
        .filter(|person| plan.people.contains(person))
        .count();
    let mut lines = vec![
        format!(
            "plan {}: restart {} of the network, from block {} on ({})",
            plan.plan, plan.restart_no, plan.base, plan.reason
        ),
        format!(
            "{} of {} people who are asked agree; {} vote by it",
            plan.n_agree,
            plan.n_asked,
            plan.seats.len()
        ),
    ];
    if !circle.is_empty() {
        lines.push(format!(
            "{n_follow} of the {} people in your circle agree",
            circle.len()
        ));
    }
    lines.push(format!(
        "looked at for {} of {} s; {}",
        plan.looked_at_s,
        plan.needed_s,
        if plan.is_accepted {
            "you accept it: the node follows then, if no later block is shown"
        } else {
            "you have not accepted it: watt node restart-plan accept HASH"
        }
    ));
    lines
}
