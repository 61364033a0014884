//! Whether what this person sees of the ledger is so, and new (`docs/spec/light.md` §8, TC25): asks their own node, else several others,
//! checks every proof, and says green, amber or red in a sentence with a next step.

mod source;

pub use source::{Place, Source};

use crate::client::net::ClientNet;
use crate::config::create_private_dir;
use crate::error::{CommandError, ErrorKind};
use crate::proof_file;
use crate::ui::duration_text;
use futures::future::join_all;
use serde::Serialize;
use source::{Asker, Told};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use watt_ledger::Genesis;
use watt_light::freshness::{AGREEING_MIN, Answer, Judgement, Light, Proofs, Proven, Reason, judge};
use watt_light::{HandOver, Shown};
use watt_primitives::{AccountId, Amount, NetworkId, NodeId, Timestamp};

/// Whose word a source's is: of one person's nodes one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Whose {
    /// A person's, as the ledger tells.
    Operator(AccountId),
    /// Nobody's whom the ledger knows.
    Node(NodeId),
}

/// What one source came to.
#[derive(Clone, Debug, Serialize)]
pub struct SourceReport {
    /// What people call it.
    pub source: String,
    /// The height of the newest block that it names; absent if it did not answer.
    pub height: Option<u64>,
    /// Whether it proved that block.
    pub is_proven: bool,
    /// What is wrong with it, if anything is.
    pub trouble: Option<String>,
}

/// What an account has, as a proof shows.
#[derive(Clone, Debug, Serialize)]
pub struct BalanceReport {
    /// What it can spend.
    #[serde(with = "crate::api::types::amount_text")]
    pub balance: Amount,
    /// After which block.
    pub height: u64,
    /// When the network agreed to that, in milliseconds since the Unix epoch.
    pub at: u64,
}

/// Whether what is seen of the ledger is so, and new.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// Green, amber or red.
    pub light: Light,
    /// What decided it.
    pub reason: Reason,
    /// The same for people.
    pub sentence: String,
    /// What to do; empty if there is nothing to do.
    pub next: String,
    /// The newest proven block.
    pub height: Option<u64>,
    /// How old the slot is that made it final, in milliseconds.
    pub age_ms: Option<u64>,
    /// Independent sources that agree.
    pub agreeing: usize,
    /// How many must.
    pub needed: usize,
    /// What the asker's account has; absent without account or proof, and while proofs contradict each other.
    pub balance: Option<BalanceReport>,
    /// Those that were asked.
    pub sources: Vec<SourceReport>,
    /// Two proof files that contradict each other.
    pub evidence: Vec<PathBuf>,
}

/// What to check, and with whom.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// What the network started with.
    pub genesis: &'a Genesis,
    /// Its id, restarts included, which is what the asker knows by themselves.
    pub network: NetworkId,
    /// Who runs which node, as far as somebody told.
    pub operators: &'a BTreeMap<NodeId, AccountId>,
    /// Whether one source is enough: a network of one person.
    pub is_devnet: bool,
    /// Whose balance to prove.
    pub account: Option<AccountId>,
    /// Where evidence is kept.
    pub evidence_dir: &'a Path,
}

/// Asks `sources`, and says what their answers come to at the time that `now` tells.
///
/// # Errors
/// Trouble on this machine; never what sources say, or that they say nothing.
pub async fn check(
    question: &Question<'_>,
    sources: &[Source],
    now: impl Fn() -> Timestamp,
) -> Result<Check, CommandError> {
    let begin = question.genesis.walk().map_err(|error| {
        let hint = "get the network's genesis file again";
        CommandError::new(ErrorKind::VerificationFailed, error.to_string(), hint)
    })?;
    let is_dialled = |source: &Source| matches!(source.place, Place::Peer { .. });
    let net = if sources.iter().any(is_dialled) {
        Some(ClientNet::start().await?)
    } else {
        None
    };
    let asker = Asker {
        begin: &begin,
        network: question.network,
        net: net.as_ref().map(ClientNet::net),
    };
    let asked = join_all(sources.iter().map(|source| asker.ask(source))).await;
    let mut told: Vec<(&Source, Told)> = Vec::new();
    let mut reports = Vec::new();
    for (source, answer) in sources.iter().zip(asked) {
        reports.push(report(source, &answer));
        told.extend(answer.ok().map(|told| (source, told)));
    }
    let split = split(&asker, &told).await;
    let proofs = if split.is_some() {
        Proofs::Contradict
    } else {
        Proofs::Agree
    };
    let (judgement, needed) = judge_all(question, &told, proofs, now());
    let evidence = match &split {
        Some(two) => keep(question, two)?,
        None => Vec::new(),
    };
    let balance = match (proofs, question.account) {
        (Proofs::Agree, Some(account)) => balance(&asker, &told, &account).await,
        (Proofs::Agree | Proofs::Contradict, _) => None,
    };
    if let Some(net) = net {
        net.stop().await;
    }
    let (sentence, next) = words(&judgement, needed, sources.len(), &evidence);
    Ok(Check {
        light: judgement.light,
        reason: judgement.reason,
        sentence,
        next,
        height: judgement.newest.map(|newest| newest.block.height.0),
        age_ms: judgement.newest.map(|_| judgement.age_ms),
        agreeing: judgement.agreeing,
        needed,
        balance,
        sources: reports,
        evidence,
    })
}

fn report(source: &Source, answer: &Result<Told, source::NoAnswer>) -> SourceReport {
    let (height, is_proven, trouble) = match answer {
        Ok(told) => (
            Some(told.newest.height.0),
            told.shown.is_some(),
            told.trouble.clone(),
        ),
        Err(error) => (None, false, Some(error.to_string())),
    };
    SourceReport {
        source: source.name.clone(),
        height,
        is_proven,
        trouble,
    }
}

/// What answers come to, and how many sources had to agree: one's own node is enough if it has all it takes.
fn judge_all(
    question: &Question<'_>,
    told: &[(&Source, Told)],
    proofs: Proofs,
    now: Timestamp,
) -> (Judgement, usize) {
    let answer = |(_, told): &(&Source, Told)| {
        let operator = question.operators.get(&told.node);
        Answer {
            source: operator.map_or(Whose::Node(told.node), |operator| Whose::Operator(*operator)),
            newest: told.newest,
            proven: told.shown.as_ref().map(|shown| Proven::by(&shown.finality)),
        }
    };
    let own: Vec<_> = told
        .iter()
        .filter(|(source, _)| source.is_own)
        .map(answer)
        .collect();
    let by_own = judge(&own, proofs, 1, now);
    if by_own.light == Light::Green {
        return (by_own, 1);
    }
    let needed = if question.is_devnet { 1 } else { AGREEING_MIN };
    let all: Vec<_> = told.iter().map(answer).collect();
    (judge(&all, proofs, needed, now), needed)
}

/// Two proofs among those shown that contradict each other. Whoever proved a higher block is asked for the lowest one, too: proofs of
/// different heights say nothing about each other.
async fn split(asker: &Asker<'_>, told: &[(&Source, Told)]) -> Option<[Shown; 2]> {
    let shown = |(source, told): &(&'_ Source, Told)| Some(((*source).clone(), told.shown.clone()?));
    let given: Vec<(Source, Shown)> = told.iter().filter_map(shown).collect();
    let height = |shown: &Shown| shown.finality.header.height;
    let lowest = given.iter().map(|(_, shown)| height(shown)).min()?;
    let higher = given.iter().filter(|(_, shown)| height(shown) > lowest);
    let asked = higher.map(|(source, _)| asker.block(source, lowest));
    let more: Vec<Shown> = join_all(asked).await.into_iter().flatten().collect();
    let all: Vec<Shown> = given.into_iter().map(|(_, shown)| shown).chain(more).collect();
    for (at, one) in all.iter().enumerate() {
        for other in all.iter().skip(at.saturating_add(1)) {
            if may_differ(one, other) && one.contradictors(other, asker.begin.clone()).is_some() {
                return Some([one.clone(), other.clone()]);
            }
        }
    }
    None
}

/// Whether two proofs may contradict each other: cheap, and true of few.
fn may_differ(one: &Shown, other: &Shown) -> bool {
    let (header, another) = (&one.finality.header, &other.finality.header);
    let mut ways = one.hand_overs.iter().zip(&other.hand_overs);
    let parts = |(one, other): (&HandOver, &HandOver)| {
        let (header, another) = (&one.finality.header, &other.finality.header);
        one.backbone != other.backbone || header.height == another.height && header != another
    };
    header.height == another.height && header != another || ways.any(parts)
}

/// Keeps two proofs that contradict each other as files that `watt verify` and `watt seat report` take.
fn keep(question: &Question<'_>, two: &[Shown; 2]) -> Result<Vec<PathBuf>, CommandError> {
    create_private_dir(question.evidence_dir)?;
    let write = |shown: &Shown| {
        let (header, bytes) = (
            &shown.finality.header,
            proof_file::encode(question.genesis.clone(), shown.clone()),
        );
        let hash = header.hash().to_string();
        let name = format!(
            "block-{}-{}.proof",
            header.height,
            hash.get(..16).unwrap_or(&hash)
        );
        let path = question.evidence_dir.join(name);
        std::fs::write(&path, &bytes).map_err(|error| CommandError::file("write", &path, &error))?;
        Ok(path)
    };
    two.iter().map(write).collect()
}

/// What the account has after the newest block that anybody proves it for; those who proved the newest block are asked first.
async fn balance(asker: &Asker<'_>, told: &[(&Source, Told)], account: &AccountId) -> Option<BalanceReport> {
    let mut able: Vec<&(&Source, Told)> = told.iter().filter(|(_, told)| told.shown.is_some()).collect();
    able.sort_by_key(|(source, told)| (std::cmp::Reverse(told.newest.height), !source.is_own));
    let newest = able.first()?.1.newest.height;
    let mut best: Option<BalanceReport> = None;
    for (source, _) in able {
        let Ok((proven, row)) = asker.account(source, account).await else {
            continue;
        };
        let found = BalanceReport {
            balance: row.map_or(Amount::ZERO, |row| row.balance),
            height: proven.block.height.0,
            at: proven.at.0,
        };
        if found.height >= newest.0 {
            return Some(found);
        }
        if best.as_ref().is_none_or(|best| best.height < found.height) {
            best = Some(found);
        }
    }
    best
}

/// What to say, and what to do.
fn words(judgement: &Judgement, needed: usize, asked: usize, evidence: &[PathBuf]) -> (String, String) {
    let height = judgement.newest.map_or(0, |newest| newest.block.height.0);
    let age = duration_text(judgement.age_ms);
    let (sentence, next) = match judgement.reason {
        Reason::Fresh => (
            format!(
                "Green: block {height} is proven and {age} old; {} of {asked} asked see it.",
                judgement.agreeing
            ),
            String::new(),
        ),
        Reason::Contradiction => {
            let files: Vec<String> = evidence.iter().map(|path| path.display().to_string()).collect();
            (
                "Red: two proofs that hold contradict each other: more validators lie than the network bears. Believe no balance and accept no payment."
                    .to_owned(),
                format!(
                    "show the two files to people you know; `watt seat report {}` hands in who signed both",
                    files.join(" ")
                ),
            )
        }
        Reason::NoAnswer => (
            match asked {
                1 => "Amber: the one source that was asked does not answer.".to_owned(),
                n => format!("Amber: none of the {n} sources that were asked answers."),
            },
            "check this machine's network; name nodes of people you know: watt peers check ADDRESS…".to_owned(),
        ),
        Reason::NoProof => (
            "Amber: nobody proved anything, so nothing that they say is believed.".to_owned(),
            "ask again in a minute; name nodes of people you know: watt peers check ADDRESS…".to_owned(),
        ),
        Reason::ClockBehind => (
            format!("Amber: block {height} is proven, and made after what this machine's clock shows."),
            "set this machine's clock; how new anything is can't be told before".to_owned(),
        ),
        Reason::Old => (
            format!(
                "Amber: the newest block that is proven, {height}, is {age} old. What it shows is so; what came after it, if anything, is not known here."
            ),
            "check this machine's network; name nodes of people you know: watt peers check ADDRESS…".to_owned(),
        ),
        Reason::FewSources => (
            format!(
                "Amber: block {height} is proven and {age} old, but only {} of the {needed} needed see it.",
                judgement.agreeing
            ),
            "what is proven is so; run a node of your own, or name nodes of people you know: watt peers check ADDRESS…"
                .to_owned(),
        ),
    };
    (sentence, next)
}
