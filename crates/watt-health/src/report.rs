//! One node's health: what it saw lately, held against the quorum set that it and everybody declare, in one sentence with a next step.

use crate::analysis::{Analysis, Intersection};
use crate::flat::Flat;
use crate::network::{InvalidSnapshot, Network, Slices};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use watt_primitives::NodeId;
use watt_scp::QuorumSet;
use watt_scp::fbas::has_slice_in;

/// How long a validator counts as heard after its last word, in milliseconds.
pub const HEARD_MS: u64 = 60_000;

/// How old the newest block may be before the network counts as standing still, in milliseconds; at least [`STILL_SLOTS`] slots.
pub const STILL_MS: u64 = 30_000;

/// The same in slots.
pub const STILL_SLOTS: u64 = 10;

/// The most names in a sentence.
const NAMED_MAX: usize = 4;

/// What a node sees.
#[derive(Clone, Debug)]
pub struct View {
    /// What the clock says, in milliseconds since the Unix epoch.
    pub now_ms: u64,
    /// Time between blocks, in milliseconds.
    pub slot_ms: u64,
    /// What it and every validator of this network declares.
    pub quorum_set: QuorumSet,
    /// Its own name, if it votes.
    pub own: Option<NodeId>,
    /// Whether it listens to statements; a follower knows only who signed blocks.
    pub hears: bool,
    /// The last that was heard of each validator.
    pub heard: BTreeMap<NodeId, u64>,
    /// Validators that contradicted themselves.
    pub accused: BTreeSet<NodeId>,
    /// Height of the newest block.
    pub height: u64,
    /// Close time of the newest block, in milliseconds since the Unix epoch.
    pub closed_ms: u64,
    /// Height that a peer told of, if this node is behind; else 0.
    pub behind: u64,
    /// The version of the rules before which the node stopped, since its program does not know it.
    pub unknown_version: Option<u32>,
    /// Connected peers.
    pub peers: u64,
}

/// Whether a node is correctly connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// A slice of it is heard, blocks come, and all quorums intersect.
    Connected,
    /// One of them fails.
    NotConnected,
    /// A slice is heard and blocks come; whether all quorums intersect is not known.
    NotKnown,
}

/// What decided the verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// All is well.
    Fine,
    /// The network follows rules that the node's program does not know.
    OldProgram,
    /// No peer is connected.
    NoPeer,
    /// Peers are ahead, and no block came lately.
    Behind,
    /// There is no block yet.
    NoBlock,
    /// No block came lately, anywhere that is known.
    StandsStill,
    /// Blocks come, but no slice is heard.
    NoSlice,
    /// Two quorums have no node in common.
    Disjoint,
    /// So many validators contradicted themselves that two quorums may agree on different things.
    Befouled,
    /// It is not known whether all quorums intersect.
    NotKnown,
}

/// A validator, as this node sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its name: the voting key, hexadecimal.
    pub node: String,
    /// Whether it was heard in the last [`HEARD_MS`], or is this node itself.
    pub is_heard: bool,
    /// Whether it contradicted itself.
    pub is_accused: bool,
    /// Whether it is this node; told to nobody but by the only validator ([`Report::for_anyone`]).
    pub is_own: bool,
}

/// A node's health.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Whether it is correctly connected.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// The same for people.
    pub sentence: String,
    /// What to do; empty if there is nothing to do.
    pub next: String,
    /// How many validators there are.
    pub validators: usize,
    /// How many were heard lately.
    pub heard: usize,
    /// How many make a quorum, if that is one number.
    pub quorum: Option<u32>,
    /// Whether a slice of this node was heard.
    pub has_slice: bool,
    /// Whether any two quorums have a validator in common; null if not known.
    pub intersects: Option<bool>,
    /// How many more validators must fail before the network stops; 0 if it does now, null if not known.
    pub stops_after: Option<usize>,
    /// How many more validators must lie before it can be split; 0 if it can be now, null if not known.
    pub splits_after: Option<usize>,
    /// Whether this node listens to statements; else `heard` is who signed the blocks of the last minute.
    pub hears: bool,
    /// Height of the newest block.
    pub height: u64,
    /// Its age, in milliseconds.
    pub head_age_ms: u64,
    /// Whether that is so old that the network counts as standing still.
    pub is_still: bool,
    /// Height that a peer told of, if this node is behind; else 0.
    pub behind: u64,
    /// The version of the rules before which the node stopped, since its program does not know it; null if there is none.
    pub unknown_version: Option<u32>,
    /// Connected peers.
    pub peers: u64,
    /// Every validator.
    pub members: Vec<Member>,
    /// What all of them declare.
    pub quorum_set: Slices,
}

impl Report {
    /// The report for anyone: which of the validators is behind this node's address stays untold (TC5). A single validator is known
    /// anyway.
    #[must_use]
    pub fn for_anyone(mut self) -> Self {
        if self.members.len() > 1 {
            for member in &mut self.members {
                member.is_own = false;
            }
        }
        self
    }

    /// The health of the node that sees `view`.
    ///
    /// What is arithmetic is known at once; if validators declare a nested set, [`Self::settle`] adds what a search finds.
    #[must_use]
    pub fn of(view: &View) -> Self {
        let members = members(view);
        let is_heard: BTreeSet<NodeId> = all_nodes(&view.quorum_set)
            .into_iter()
            .filter(|node| lately(view, node))
            .collect();
        let heard = is_heard.len();
        let n_accused = members.iter().filter(|member| member.is_accused).count();
        let flat = Flat::of_set(&view.quorum_set);
        let head_age_ms = view.now_ms.saturating_sub(view.closed_ms);
        let mut report = Self {
            verdict: Verdict::NotKnown,
            reason: Reason::NotKnown,
            sentence: String::new(),
            next: String::new(),
            validators: members.len(),
            heard,
            quorum: flat.map(Flat::threshold),
            has_slice: has_slice_in(&view.quorum_set, &is_heard),
            intersects: flat.map(Flat::intersects),
            stops_after: flat.map(|flat| (heard + 1).saturating_sub(size(flat.threshold()))),
            splits_after: flat.map(|flat| size(flat.splitting()).saturating_sub(n_accused)),
            hears: view.hears,
            height: view.height,
            head_age_ms,
            is_still: head_age_ms > STILL_MS.max(view.slot_ms.saturating_mul(STILL_SLOTS)),
            behind: view.behind,
            unknown_version: view.unknown_version,
            peers: view.peers,
            members,
            quorum_set: Slices::from(&view.quorum_set),
        };
        report.judge();
        report
    }

    /// The network of the validators that were heard, or of all of them, each with the set that all declare: what a search is asked
    /// if arithmetic knows no answer.
    ///
    /// # Errors
    /// There is none, or there are too many.
    pub fn network(&self, which: Which) -> Result<Network, InvalidSnapshot> {
        let taken = self
            .members
            .iter()
            .filter(|member| member.is_heard || which == Which::All);
        Network::checked(taken.map(|member| (member.node.clone(), self.quorum_set.clone())))
    }

    /// Adds what searches found: `all` about all validators, `heard` about those that were heard.
    pub fn settle(&mut self, all: &Analysis, heard: &Analysis) {
        self.intersects = match &all.intersection {
            Intersection::Yes => Some(true),
            Intersection::No { .. } => Some(false),
            Intersection::NoQuorum | Intersection::NotKnown => None,
        };
        let n_accused = self.members.iter().filter(|member| member.is_accused).count();
        self.stops_after = match (&heard.intersection, &heard.blocking) {
            (Intersection::NoQuorum, _) => Some(0),
            (Intersection::Yes | Intersection::No { .. } | Intersection::NotKnown, blocking) => {
                blocking.as_ref().map(|sets| sets.smallest)
            }
        };
        self.splits_after = match (&all.intersection, &all.splitting) {
            (Intersection::No { .. }, _) => Some(0),
            (Intersection::Yes | Intersection::NoQuorum | Intersection::NotKnown, splitting) => splitting
                .as_ref()
                .map(|sets| match sets.count {
                    // Nobody who votes is left to be split; who follows still can be.
                    0 => self.validators,
                    _ => sets.smallest,
                })
                .map(|smallest| smallest.saturating_sub(n_accused)),
        };
        self.judge();
    }

    /// Decides, from the numbers.
    fn judge(&mut self) {
        let is_alone = self.members.len() == 1 && self.members.iter().all(|member| member.is_own);
        self.reason = if self.unknown_version.is_some() {
            Reason::OldProgram
        } else if self.peers == 0 && !is_alone {
            Reason::NoPeer
        } else if self.intersects == Some(false) {
            Reason::Disjoint
        } else if self.is_still && self.behind > 0 {
            Reason::Behind
        } else if self.height == 0 {
            Reason::NoBlock
        } else if self.is_still {
            Reason::StandsStill
        } else if !self.has_slice {
            Reason::NoSlice
        } else if self.splits_after == Some(0) {
            Reason::Befouled
        } else if self.intersects.is_none() {
            Reason::NotKnown
        } else {
            Reason::Fine
        };
        self.verdict = match self.reason {
            Reason::Fine => Verdict::Connected,
            Reason::NotKnown => Verdict::NotKnown,
            Reason::OldProgram
            | Reason::NoPeer
            | Reason::Behind
            | Reason::NoBlock
            | Reason::StandsStill
            | Reason::NoSlice
            | Reason::Disjoint
            | Reason::Befouled => Verdict::NotConnected,
        };
        (self.sentence, self.next) = self.words();
    }

    /// What to say, and what to do.
    fn words(&self) -> (String, String) {
        let age = self.head_age_ms / 1_000;
        let seen = self.seen();
        let (sentence, next) = match self.reason {
            Reason::Fine => (format!("Connected: {seen}. {}", self.distance()), ""),
            Reason::NotKnown => (
                format!(
                    "Connected as far as is known: {seen}, but whether all quorums have a validator in common could not be found out \
                     in time."
                ),
                "ask again with a longer --deadline",
            ),
            Reason::OldProgram => (
                format!(
                    "Not connected: this node stopped at height {}, before version {} of the network's rules, which its program does \
                     not know.",
                    self.height,
                    self.unknown_version.unwrap_or(0)
                ),
                "update this program and start the node again; it goes on where it stopped",
            ),
            Reason::NoPeer => (
                "Not connected: this node has no peer.".to_owned(),
                "check node.bootstrap and this machine's network",
            ),
            Reason::Behind => (
                format!(
                    "Not connected: this node is at height {}, its peers tell of {}.",
                    self.height, self.behind
                ),
                "wait until it has caught up; if its height stands still, check its disk and its log",
            ),
            Reason::NoBlock => (
                format!("Not connected: this node has no block yet; {seen}."),
                "wait for the first block; if none comes, check that the genesis is this network's",
            ),
            Reason::StandsStill if self.has_slice => (
                format!("Not connected: the network stands still, the newest block is {age} s old, although {seen}."),
                "check this machine's clock; if it is right, ask people who run other nodes whether blocks come there",
            ),
            Reason::StandsStill => (
                format!(
                    "Not connected: the network stands still, the newest block is {age} s old; {seen}{}.",
                    self.needed()
                ),
                "check this machine's network; if others stand still too, the validators that are silent must come back",
            ),
            Reason::NoSlice => (
                format!("Not connected: blocks come, but {seen}{}.", self.needed()),
                "wait a minute if the node has just started; else connect it to more validators (node.bootstrap)",
            ),
            Reason::Disjoint => (
                "Not connected safely: the validators' quorum sets let two groups agree on different things, without anybody lying."
                    .to_owned(),
                "rely on no payment until the network's validators have repaired this",
            ),
            Reason::Befouled => (
                format!(
                    "Not connected safely: {} validators contradicted themselves, enough to split the network.",
                    self.accused()
                ),
                "rely on no payment; `watt chain evidence` names them, `watt verify` compares this node's blocks with those of others",
            ),
        };
        (sentence, next.to_owned())
    }

    fn accused(&self) -> usize {
        self.members.iter().filter(|member| member.is_accused).count()
    }

    /// How many validators were heard, and who was not if they are few.
    fn seen(&self) -> String {
        let (heard, all) = (self.heard, self.validators);
        let verb = match (self.hears, all) {
            (true, 1) => "was heard",
            (true, _) => "were heard",
            (false, _) => "signed blocks",
        };
        let noun = if all == 1 { "validator" } else { "validators" };
        let silent: Vec<&str> = self
            .members
            .iter()
            .filter(|member| !member.is_heard)
            .map(|member| member.node.get(..8).unwrap_or(&member.node))
            .collect();
        let names = if silent.is_empty() || silent.len() > NAMED_MAX || heard == 0 {
            String::new()
        } else {
            format!(" (not {})", silent.join(", "))
        };
        format!("{heard} of {all} {noun} {verb} in the last minute{names}")
    }

    fn needed(&self) -> String {
        self.quorum
            .map_or_else(String::new, |quorum| format!(", and {quorum} are needed"))
    }

    /// How far it is to a standstill and to a split.
    fn distance(&self) -> String {
        let more = if self.heard < self.validators { " more" } else { "" };
        let stops = match self.stops_after {
            Some(1) => format!("The network stops if 1{more} fails"),
            Some(n) => format!("The network stops if {n}{more} fail"),
            None => "How many must fail before the network stops could not be found out in time".to_owned(),
        };
        let more = if self.accused() > 0 { " more" } else { "" };
        let splits = match self.splits_after {
            Some(1) => format!("could be split by 1{more} that lies"),
            Some(n) => format!("could be split by {n}{more} that lie"),
            None => "how many must lie to split it is not known".to_owned(),
        };
        let accused = match self.accused() {
            0 => String::new(),
            1 => " 1 contradicted itself.".to_owned(),
            n => format!(" {n} contradicted themselves."),
        };
        format!("{stops}, and {splits}.{accused}")
    }
}

/// Which validators a network is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// All of them.
    All,
    /// Those that were heard.
    Heard,
}

fn size(n: u32) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

fn all_nodes(set: &QuorumSet) -> BTreeSet<NodeId> {
    let mut nodes = BTreeSet::new();
    set.for_each_node(&mut |node| {
        nodes.insert(*node);
    });
    nodes
}

fn lately(view: &View, node: &NodeId) -> bool {
    let is_recent = |at_ms: &u64| view.now_ms.saturating_sub(*at_ms) <= HEARD_MS;
    view.own == Some(*node) || view.heard.get(node).is_some_and(is_recent)
}

fn members(view: &View) -> Vec<Member> {
    let member = |node: NodeId| Member {
        node: node.to_string(),
        is_heard: lately(view, &node),
        is_accused: view.accused.contains(&node),
        is_own: view.own == Some(node),
    };
    all_nodes(&view.quorum_set).into_iter().map(member).collect()
}

#[cfg(test)]
mod tests;
