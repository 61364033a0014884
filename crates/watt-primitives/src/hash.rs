//! BLAKE3-256 with a domain and a network in every hash and every signature (`docs/spec/encoding.md` §3).

use crate::NetworkId;
use crate::bytes::byte_type;
use alloc::boxed::Box;

byte_type!(
    /// A BLAKE3-256 digest.
    Hash,
    32
);

impl Hash {
    /// All zero: "none yet", as the parent of the genesis block.
    pub const ZERO: Self = Self([0; 32]);

    /// Plain BLAKE3 of `bytes`, without domain: only for content (slot roots, payload roots, CIDs).
    #[must_use]
    pub fn of_content(bytes: &[u8]) -> Self {
        Self(blake3::hash(bytes).into())
    }

    /// A number below `n`, drawn by the first eight bytes, big-endian ([`scale`]).
    #[must_use]
    pub fn below(&self, n: u64) -> u64 {
        scale(
            self.0.first_chunk().map_or(0, |head| u64::from_be_bytes(*head)),
            n,
        )
    }
}

/// A number below `n` from 64 random bits: `floor(random * n / 2^64)`. The chances of two numbers differ by `n / 2^64` at most.
#[inline]
#[must_use]
pub fn scale(random: u64, n: u64) -> u64 {
    u64::try_from(u128::from(random).saturating_mul(n.into()) >> 64).unwrap_or(0)
}

/// What a hash or a signature is about. The list is closed: a new signed type is a new line here, and tests walk the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Domain {
    /// Network identity.
    Network,
    /// Genesis document.
    Genesis,
    /// Account id from the first key.
    Account,
    /// Transaction id and signature.
    Transaction,
    /// Hash of a transaction's witness.
    Witness,
    /// Block body root: leaves.
    BodyLeaf,
    /// A heartbeat's signature.
    Heartbeat,
    /// Hash of the heartbeats of a block: the last leaf of its body root.
    HeartbeatSection,
    /// Proposal hash `V` and the proposer's signature.
    Proposal,
    /// The fallback value `E(V)`: the same slot with an empty body.
    EmptyProposal,
    /// Header hash.
    Header,
    /// SCP statement signature.
    Statement,
    /// Hash of a quorum set.
    QuorumSet,
    /// Nomination leader priority.
    Leader,
    /// Order of candidates within one slot.
    Candidate,
    /// Beacon values and everything drawn from them.
    Beacon,
    /// State tree: key.
    StateKey,
    /// State tree: value.
    StateValue,
    /// State tree: leaf.
    StateLeaf,
    /// State tree: bucket of leaves.
    StateBucket,
    /// State tree: inner node.
    StateNode,
    /// State tree: root with the number of leaves.
    StateRoot,
    /// Receipt leaves.
    Receipt,
    /// Deal id.
    Deal,
    /// A provider's acceptance of a slot.
    Acceptance,
    /// List of slot roots in a bundle.
    SlotRoots,
    /// Key commitment of a file key.
    KeyCommitment,
    /// Piece table root `comm_d`.
    PieceTable,
    /// PoRep replica id.
    Replica,
    /// PoRep columns.
    Column,
    /// PoRep challenge seeds.
    PorepChallenge,
    /// PoSt sequential state.
    PostState,
    /// Which sectors a kept set of a provider is of.
    SectorSet,
    /// Inner node of a plain Merkle tree.
    MerkleNode,
    /// One person's rank.
    RankLeaf,
    /// The ranks of a term.
    RankRoot,
    /// Proof that somebody has the voting key that they register.
    VotingKey,
    /// One layer of a hash onion, of which the beacon is made.
    Onion,
    /// Which nodes a person asks; known to them alone.
    PeerChoice,
    /// Commitment to the cold key of a seat.
    ColdKey,
    /// A voting key in place of a lost one, by the seat's cold key.
    Succession,
    /// A node's word which block is the newest that it knows to be final.
    Newest,
    /// A plan with which people begin again, and its signatures.
    Restart,
    /// A committee member's word that the openings of a sector hold.
    PorepVerdict,
}

impl Domain {
    /// Every domain, for tests that must not forget one.
    pub const ALL: [Self; 44] = [
        Self::Network,
        Self::Genesis,
        Self::Account,
        Self::Transaction,
        Self::Witness,
        Self::BodyLeaf,
        Self::Heartbeat,
        Self::HeartbeatSection,
        Self::Proposal,
        Self::EmptyProposal,
        Self::Header,
        Self::Statement,
        Self::QuorumSet,
        Self::Leader,
        Self::Candidate,
        Self::Beacon,
        Self::StateKey,
        Self::StateValue,
        Self::StateLeaf,
        Self::StateBucket,
        Self::StateNode,
        Self::StateRoot,
        Self::Receipt,
        Self::Deal,
        Self::Acceptance,
        Self::SlotRoots,
        Self::KeyCommitment,
        Self::PieceTable,
        Self::Replica,
        Self::Column,
        Self::PorepChallenge,
        Self::PostState,
        Self::SectorSet,
        Self::MerkleNode,
        Self::RankLeaf,
        Self::RankRoot,
        Self::VotingKey,
        Self::Onion,
        Self::PeerChoice,
        Self::ColdKey,
        Self::Succession,
        Self::Newest,
        Self::Restart,
        Self::PorepVerdict,
    ];

    /// The string that begins every hash and signature of this domain.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Network => "watt/1/network",
            Self::Genesis => "watt/1/genesis",
            Self::Account => "watt/1/account",
            Self::Transaction => "watt/1/transaction",
            Self::Witness => "watt/1/witness",
            Self::BodyLeaf => "watt/1/body-leaf",
            Self::Heartbeat => "watt/1/heartbeat",
            Self::HeartbeatSection => "watt/1/heartbeats",
            Self::Proposal => "watt/1/proposal",
            Self::EmptyProposal => "watt/1/empty",
            Self::Header => "watt/1/header",
            Self::Statement => "watt/1/statement",
            Self::QuorumSet => "watt/1/quorum-set",
            Self::Leader => "watt/1/leader",
            Self::Candidate => "watt/1/candidate",
            Self::Beacon => "watt/1/beacon",
            Self::StateKey => "watt/1/state-key",
            Self::StateValue => "watt/1/state-value",
            Self::StateLeaf => "watt/1/state-leaf",
            Self::StateBucket => "watt/1/state-bucket",
            Self::StateNode => "watt/1/state-node",
            Self::StateRoot => "watt/1/state-root",
            Self::Receipt => "watt/1/receipt",
            Self::Deal => "watt/1/deal",
            Self::Acceptance => "watt/1/acceptance",
            Self::SlotRoots => "watt/1/slot-roots",
            Self::KeyCommitment => "watt/1/key-commitment",
            Self::PieceTable => "watt/1/piece-table",
            Self::Replica => "watt/1/replica",
            Self::Column => "watt/1/column",
            Self::PorepChallenge => "watt/1/porep-challenge",
            Self::PostState => "watt/1/post-state",
            Self::SectorSet => "watt/1/sector-set",
            Self::MerkleNode => "watt/1/merkle-node",
            Self::RankLeaf => "watt/1/rank-leaf",
            Self::RankRoot => "watt/1/rank-root",
            Self::VotingKey => "watt/1/voting-key",
            Self::Onion => "watt/1/onion",
            Self::PeerChoice => "watt/1/peer-choice",
            Self::ColdKey => "watt/1/cold-key",
            Self::Succession => "watt/1/succession",
            Self::Newest => "watt/1/newest",
            Self::Restart => "watt/1/restart",
            Self::PorepVerdict => "watt/1/porep-verdict",
        }
    }
}

/// Hashes a sequence of parts under a domain and a network; each part is preceded by its length, so that no two sequences
/// hash alike: `BLAKE3(len(domain) || domain || network || (len(part) || part)*)`, lengths as `u64` big-endian.
#[derive(Clone)]
pub struct DomainHasher {
    /// The input while it is short: almost every input is, and hashing it in one go takes half the time.
    short: [u8; SHORT_BYTES],
    short_len: usize,
    /// The whole input once it is longer.
    long: Option<Box<blake3::Hasher>>,
}

/// Two digests with their lengths, a domain and a network fit.
const SHORT_BYTES: usize = 192;

impl DomainHasher {
    /// Begins a hash in `domain` on `network`.
    #[must_use]
    pub fn new(domain: Domain, network: &NetworkId) -> Self {
        let mut hasher = Self::without_network(domain);
        hasher.bytes(network.in_hashes());
        hasher
    }

    /// Begins a hash of what exists before or beyond a network: network identity, account ids, content structures that
    /// are the same everywhere.
    #[must_use]
    pub fn without_network(domain: Domain) -> Self {
        let mut hasher = Self {
            short: [0; SHORT_BYTES],
            short_len: 0,
            long: None,
        };
        hasher.part(domain.as_str().as_bytes());
        hasher
    }

    /// Adds one part.
    pub fn part(&mut self, bytes: &[u8]) -> &mut Self {
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.bytes(&len.to_be_bytes()).bytes(bytes)
    }

    /// Adds bytes without their length, which the domain has fixed.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        if let Some(long) = &mut self.long {
            long.update(bytes);
            return self;
        }
        let (filled, free) = self.short.split_at_mut(self.short_len);
        if let Some((room, _)) = free.split_at_mut_checked(bytes.len()) {
            room.copy_from_slice(bytes);
            self.short_len += bytes.len();
        } else {
            let mut long = Box::new(blake3::Hasher::new());
            long.update(filled).update(bytes);
            self.long = Some(long);
        }
        self
    }

    /// The digest.
    #[must_use]
    pub fn finish(&self) -> Hash {
        let digest = match &self.long {
            Some(long) => long.finalize(),
            None => blake3::hash(self.short.split_at(self.short_len).0),
        };
        Hash(digest.into())
    }
}

/// Hashes `parts` under `domain` on `network`.
#[must_use]
pub fn hash(domain: Domain, network: &NetworkId, parts: &[&[u8]]) -> Hash {
    let mut hasher = DomainHasher::new(domain, network);
    for part in parts {
        hasher.part(part);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;

    #[test]
    fn domains_are_distinct_and_prefix_free_by_length() {
        let names: BTreeSet<_> = Domain::ALL.iter().map(|domain| domain.as_str()).collect();
        assert_eq!(names.len(), Domain::ALL.len());
    }

    /// The lowest digest draws the first number, the highest the last, one in the middle the middle; of none, there is 0.
    #[test]
    fn numbers_are_drawn_in_the_order_of_digests() {
        for n in [1, 2, 10, 4_096, u64::MAX] {
            assert_eq!(Hash([0; 32]).below(n), 0);
            assert_eq!(Hash([255; 32]).below(n), n - 1);
            assert_eq!(scale(1 << 63, n), n / 2);
        }
        assert_eq!(Hash([255; 32]).below(0), 0);
    }

    /// Short and long inputs are hashed by the same rule, however they are cut into parts.
    #[test]
    fn digest_is_that_of_the_plain_input() {
        let bytes = [7u8; 600];
        for first in [0, 1, 100, 150, 160, 170, 192, 600] {
            for second in [0, 1, 50, 600] {
                let (first, second) = (&bytes[..first], &bytes[..second]);
                let len = |part: &[u8]| u64::try_from(part.len()).unwrap().to_be_bytes();
                let name = Domain::Deal.as_str().as_bytes();
                let parts = [name, first, second];
                let plain: alloc::vec::Vec<u8> = parts
                    .iter()
                    .flat_map(|part| [&len(part)[..], part].concat())
                    .collect();
                let mut hasher = DomainHasher::without_network(Domain::Deal);
                hasher.part(first).part(second);
                assert_eq!(hasher.finish(), Hash::of_content(&plain));
            }
        }
    }

    #[test]
    fn parts_cannot_be_shifted_between_each_other() {
        let network = NetworkId::new([7; 32]);
        let ab_c = hash(Domain::Deal, &network, &[b"ab", b"c"]);
        let a_bc = hash(Domain::Deal, &network, &[b"a", b"bc"]);
        assert_ne!(ab_c, a_bc);
        assert_ne!(ab_c, hash(Domain::Deal, &NetworkId::new([8; 32]), &[b"ab", b"c"]));
        assert_ne!(ab_c, hash(Domain::Beacon, &network, &[b"ab", b"c"]));
    }
}
