//! The roster: small numbers for the nodes and quorum sets that matter to this node, and quorum sets compiled to bits.

use crate::node_set::{NODES_MAX, NodeIndex, NodeSet};
use crate::protocol::Oracle;
use crate::quorum_set::QuorumSet;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use watt_primitives::{Hash, NodeId};

/// The most distinct quorum sets held at once; one per node is the worst honest case.
const QUORUM_SETS_MAX: usize = NODES_MAX;

/// A quorum set whose members are bits.
#[derive(Clone, Debug)]
pub(crate) struct CompiledSet {
    threshold: u32,
    /// Nodes at this level plus inner sets, those included that no longer fit the roster and thus never speak.
    members: u32,
    nodes: NodeSet,
    inner: Vec<Self>,
}

impl CompiledSet {
    /// Whether `nodes` contain one of the set's slices.
    pub(crate) fn has_slice_in(&self, nodes: &NodeSet) -> bool {
        let mut satisfied = self.nodes.count_common(nodes);
        if satisfied >= self.threshold {
            return true;
        }
        for inner in &self.inner {
            if inner.has_slice_in(nodes) {
                satisfied = satisfied.saturating_add(1);
                if satisfied >= self.threshold {
                    return true;
                }
            }
        }
        false
    }

    /// Whether every slice of the set contains one of `nodes`.
    pub(crate) fn is_blocked_by(&self, nodes: &NodeSet) -> bool {
        let mut blocked = self.nodes.count_common(nodes);
        for inner in &self.inner {
            if inner.is_blocked_by(nodes) {
                blocked = blocked.saturating_add(1);
            }
        }
        self.members.saturating_sub(blocked) < self.threshold
    }

    /// Adds the members of one slice within `nodes` to `slice`; nothing unless there is one.
    pub(crate) fn add_slice_in(&self, nodes: &NodeSet, roster: &Roster, slice: &mut NodeSet) {
        if !self.has_slice_in(nodes) {
            return;
        }
        let mut missing = self.threshold;
        for node in roster.indexes() {
            if missing > 0 && self.nodes.contains(node) && nodes.contains(node) {
                slice.insert(node);
                missing = missing.saturating_sub(1);
            }
        }
        for inner in &self.inner {
            if missing > 0 && inner.has_slice_in(nodes) {
                inner.add_slice_in(nodes, roster, slice);
                missing = missing.saturating_sub(1);
            }
        }
    }
}

/// A compiled quorum set's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SetIndex(usize);

/// What a statement's quorum set means in a quorum check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Declared {
    /// The set `{sender}`: an EXTERNALIZE speaks for itself.
    Itself,
    /// Not known (yet) or not sane: the node may block, but never counts in a quorum.
    Unknown,
    /// A compiled set.
    Set(SetIndex),
}

/// Nodes and quorum sets by number.
#[derive(Clone, Debug)]
pub(crate) struct Roster {
    index_by_id: BTreeMap<NodeId, NodeIndex>,
    ids: Vec<NodeId>,
    set_by_hash: BTreeMap<Hash, SetIndex>,
    sets: Vec<Option<CompiledSet>>,
    own_set: CompiledSet,
}

impl Roster {
    /// The roster of `node`, whose own set is `quorum_set` with hash `hash`.
    pub(crate) fn new(node: NodeId, quorum_set: &QuorumSet, hash: Hash) -> Self {
        let mut roster = Self {
            index_by_id: BTreeMap::new(),
            ids: Vec::new(),
            set_by_hash: BTreeMap::new(),
            sets: Vec::new(),
            own_set: CompiledSet {
                threshold: 1,
                // One member that never speaks: a node without a sane set has no slice and is blocked by nobody.
                members: 1,
                nodes: NodeSet::EMPTY,
                inner: Vec::new(),
            },
        };
        roster.admit(node);
        // A set that is not sane has no slice: the node then stays silent instead of agreeing with itself.
        if quorum_set.is_sane() {
            roster.own_set = roster.compile(quorum_set);
            roster.sets.push(Some(roster.own_set.clone()));
            roster.set_by_hash.insert(hash, SetIndex(0));
        }
        roster
    }

    pub(crate) fn own_set(&self) -> &CompiledSet {
        &self.own_set
    }

    /// What own statements declare before EXTERNALIZE.
    pub(crate) fn own_declared(&self) -> Declared {
        let own = self.sets.first().and_then(Option::as_ref);
        own.map_or(Declared::Unknown, |_| Declared::Set(SetIndex(0)))
    }

    pub(crate) fn index(&self, node: &NodeId) -> Option<NodeIndex> {
        self.index_by_id.get(node).copied()
    }

    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn id(&self, node: NodeIndex) -> Option<NodeId> {
        self.ids.get(node.position()).copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(crate) fn indexes(&self) -> impl Iterator<Item = NodeIndex> + use<> {
        (0..self.ids.len()).filter_map(NodeIndex::new)
    }

    pub(crate) fn set(&self, set: SetIndex) -> Option<&CompiledSet> {
        self.sets.get(set.0).and_then(Option::as_ref)
    }

    /// The number of the quorum set called `hash`, asking the oracle the first time.
    pub(crate) fn resolve(&mut self, hash: &Hash, oracle: &dyn Oracle) -> Declared {
        if let Some(set) = self.set_by_hash.get(hash) {
            return Declared::Set(*set);
        }
        let Some(quorum_set) = oracle.quorum_set(hash).filter(|set| set.is_sane()) else {
            return Declared::Unknown;
        };
        let free = self.sets.iter().position(Option::is_none);
        let position = free.unwrap_or(self.sets.len());
        if position >= QUORUM_SETS_MAX {
            return Declared::Unknown;
        }
        let compiled = self.compile(quorum_set);
        if let Some(place) = self.sets.get_mut(position) {
            *place = Some(compiled);
        } else {
            self.sets.push(Some(compiled));
        }
        self.set_by_hash.insert(*hash, SetIndex(position));
        Declared::Set(SetIndex(position))
    }

    /// Forgets quorum sets for which `is_used` is false; the own set stays.
    pub(crate) fn retain_sets(&mut self, is_used: impl Fn(SetIndex) -> bool) {
        let sets = &mut self.sets;
        self.set_by_hash.retain(|_, set| {
            let keep = set.0 == 0 || is_used(*set);
            if !keep && let Some(place) = sets.get_mut(set.0) {
                *place = None;
            }
            keep
        });
    }

    fn compile(&mut self, quorum_set: &QuorumSet) -> CompiledSet {
        let mut nodes = NodeSet::EMPTY;
        for node in &quorum_set.nodes {
            if let Some(index) = self.admit(*node) {
                nodes.insert(index);
            }
        }
        CompiledSet {
            threshold: quorum_set.threshold,
            members: u32::try_from(quorum_set.n_members()).unwrap_or(u32::MAX),
            nodes,
            inner: quorum_set.inner.iter().map(|inner| self.compile(inner)).collect(),
        }
    }

    fn admit(&mut self, node: NodeId) -> Option<NodeIndex> {
        if let Some(index) = self.index(&node) {
            return Some(index);
        }
        let index = NodeIndex::new(self.ids.len())?;
        self.ids.push(node);
        self.index_by_id.insert(node, index);
        Some(index)
    }
}

/// Which nodes declared which quorum set, grouped, so that a quorum check costs one slice test per distinct set.
#[derive(Clone, Debug)]
pub(crate) struct Declarations {
    by_node: Vec<Option<Declared>>,
    unknown: NodeSet,
    groups: Vec<(SetIndex, NodeSet)>,
}

impl Declarations {
    pub(crate) const fn new() -> Self {
        Self {
            by_node: Vec::new(),
            unknown: NodeSet::EMPTY,
            groups: Vec::new(),
        }
    }

    /// Notes that `node` now declares `declared`.
    pub(crate) fn declare(&mut self, node: NodeIndex, declared: Declared) {
        if self.by_node.get(node.position()) == Some(&Some(declared)) {
            return;
        }
        if self.by_node.len() <= node.position() {
            self.by_node.resize(node.position().saturating_add(1), None);
        }
        let Some(place) = self.by_node.get_mut(node.position()) else {
            return;
        };
        *place = Some(declared);
        self.unknown.remove(node);
        for (_, nodes) in &mut self.groups {
            nodes.remove(node);
        }
        self.groups.retain(|(_, nodes)| !nodes.is_empty());
        match declared {
            Declared::Itself => {}
            Declared::Unknown => self.unknown.insert(node),
            Declared::Set(set) => {
                if let Some((_, nodes)) = self.groups.iter_mut().find(|(other, _)| *other == set) {
                    nodes.insert(node);
                } else {
                    let mut nodes = NodeSet::EMPTY;
                    nodes.insert(node);
                    self.groups.push((set, nodes));
                }
            }
        }
    }

    pub(crate) fn uses(&self, set: SetIndex) -> bool {
        self.groups.iter().any(|(other, _)| *other == set)
    }

    pub(crate) fn is_unknown(&self, node: NodeIndex) -> bool {
        self.unknown.contains(node)
    }

    /// Whether `within` contains a quorum that has a slice of this node: the greatest quorum inside `within` is what is left
    /// when every node without a slice in the rest has gone (paper, algorithm of §3; fixpoint).
    pub(crate) fn has_quorum_in(&self, within: &NodeSet, roster: &Roster) -> bool {
        if !roster.own_set().has_slice_in(within) {
            return false;
        }
        // Mostly nobody has to go.
        let falls_out = |(set, nodes): &(SetIndex, NodeSet), left: &NodeSet| {
            nodes.meets(left) && !roster.set(*set).is_some_and(|set| set.has_slice_in(left))
        };
        if !self.unknown.meets(within) && !self.groups.iter().any(|group| falls_out(group, within)) {
            return true;
        }
        let mut left = *within;
        left.subtract(&self.unknown);
        while let Some((_, nodes)) = self.groups.iter().find(|group| falls_out(group, &left)) {
            left.subtract(nodes);
        }
        roster.own_set().has_slice_in(&left)
    }
}
