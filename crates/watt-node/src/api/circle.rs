//! Who of the people whom a node's owner trusts confirms what the node sees, as the API shows it (`docs/spec/light.md` §9).

use super::types::hash_hex;
use serde::{Deserialize, Serialize};
use watt_light::circle::Witnesses;
use watt_light::freshness::FRESH_MS_MAX;
use watt_primitives::id::AddressKind;
use watt_primitives::{AccountId, BlockHeight, Hash};

/// What the circle says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CircleState {
    /// Too few people of it run nodes: nobody is asked, and nothing waits.
    NotAsked,
    /// Enough confirm what is new.
    Confirms,
    /// Not enough have said so yet.
    Waiting,
    /// Somebody's node names another block than this one.
    Contradicts,
}

/// How far the circle of a node's owner confirms what the node sees. It does not say whose circle it is: no answer of a node should link
/// its address with an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CircleInfo {
    /// In one word.
    pub state: CircleState,
    /// The same for people.
    pub sentence: String,
    /// What to do; empty if there is nothing to do.
    pub next: String,
    /// People in it.
    pub people: usize,
    /// Of these, how many run nodes.
    pub with_nodes: usize,
    /// How many of them must confirm; absent if nobody is asked.
    pub needed: Option<usize>,
    /// How many confirm what is new, that is, a block less than a minute below the newest final one.
    pub confirming: usize,
    /// Up to which block enough confirm.
    pub confirmed_height: Option<u64>,
    /// Who names another block than this node.
    pub contradicting: Vec<ContradictingInfo>,
}

/// Somebody whose node names another block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContradictingInfo {
    /// Who.
    pub address: String,
    /// At which height.
    pub height: u64,
    /// Hash of the header that it names.
    #[serde(with = "hash_hex")]
    pub hash: Hash,
}

/// What is known of a circle.
pub(crate) struct CircleView<'a> {
    pub(crate) kind: AddressKind,
    /// People in it, with or without nodes.
    pub(crate) people: usize,
    pub(crate) witnesses: &'a Witnesses<AccountId>,
    /// The newest block that is final here.
    pub(crate) newest: BlockHeight,
    pub(crate) slot_ms: u64,
}

impl CircleInfo {
    /// What to show of it.
    pub(crate) fn of(view: &CircleView<'_>) -> Self {
        let witnesses = view.witnesses;
        let fresh_slots = FRESH_MS_MAX / view.slot_ms.max(1);
        let confirming = witnesses.confirming(BlockHeight(view.newest.0.saturating_sub(fresh_slots)));
        let contradicting: Vec<ContradictingInfo> = witnesses
            .contradicting()
            .map(|(person, block)| ContradictingInfo {
                address: person.to_address(view.kind),
                height: block.height.0,
                hash: block.hash,
            })
            .collect();
        let needed = witnesses.needed();
        let state = match needed {
            _ if !contradicting.is_empty() => CircleState::Contradicts,
            None => CircleState::NotAsked,
            Some(needed) if confirming >= needed => CircleState::Confirms,
            Some(_) => CircleState::Waiting,
        };
        let mut info = Self {
            state,
            sentence: String::new(),
            next: String::new(),
            people: view.people,
            with_nodes: witnesses.n_people(),
            needed,
            confirming,
            confirmed_height: witnesses.confirmed().map(|height| height.0),
            contradicting,
        };
        (info.sentence, info.next) = info.words();
        info
    }

    fn words(&self) -> (String, String) {
        let (sentence, next) = match (self.state, self.contradicting.first()) {
            (CircleState::Contradicts, Some(first)) => (
                format!(
                    "ALARM: the node of {} names another block {} than this one. One of the two was deceived.",
                    first.address, first.height
                ),
                "rely on no payment; call them, and both run `watt peers check`",
            ),
            (CircleState::NotAsked, _) => (
                format!(
                    "{} of the {} people in your circle run nodes; fewer than 4 are not asked, and nothing waits for them.",
                    self.with_nodes, self.people
                ),
                "",
            ),
            (CircleState::Confirms, _) => (
                format!(
                    "confirmed by your circle up to block {} ({} of {} people)",
                    self.confirmed_height.unwrap_or(0),
                    self.confirming,
                    self.with_nodes
                ),
                "",
            ),
            (CircleState::Waiting | CircleState::Contradicts, _) => (
                format!(
                    "waiting for your circle ({} of {} needed)",
                    self.confirming,
                    self.needed.unwrap_or(0)
                ),
                "nothing is lost; what waits goes on when their nodes are back",
            ),
        };
        (sentence, next.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use watt_light::BlockName;

    fn info(n_people: u8, said: &[(u8, u64, u8)]) -> CircleInfo {
        let mut witnesses = Witnesses::default();
        witnesses.set_people((1..=n_people).map(|n| AccountId([n; 20])).collect());
        for (person, height, hash) in said {
            let block = BlockName {
                height: BlockHeight(*height),
                hash: Hash([*hash; 32]),
            };
            witnesses.hear(AccountId([*person; 20]), block, Some(Hash([1; 32])));
        }
        CircleInfo::of(&CircleView {
            kind: AddressKind::Test,
            people: 5,
            witnesses: &witnesses,
            newest: BlockHeight(100),
            slot_ms: 5_000,
        })
    }

    /// What is shown says who is missing and what to do, and never how agreement is reached. Covers: A3, I1.
    #[test]
    fn the_circle_is_told_in_sentences() {
        let few = info(3, &[(1, 100, 1)]);
        assert_eq!((few.state, few.needed), (CircleState::NotAsked, None));
        assert!(few.sentence.contains("3 of the 5 people"), "{}", few.sentence);
        let waiting = info(4, &[(1, 100, 1), (2, 87, 1)]);
        assert_eq!(waiting.sentence, "waiting for your circle (1 of 2 needed)");
        assert_eq!(waiting.confirmed_height, Some(87), "a minute is twelve slots");
        let confirms = info(4, &[(1, 100, 1), (2, 88, 1)]);
        assert_eq!(
            confirms.sentence,
            "confirmed by your circle up to block 88 (2 of 4 people)"
        );
        let alarm = info(4, &[(1, 100, 1), (2, 99, 1), (3, 90, 2)]);
        assert_eq!(alarm.state, CircleState::Contradicts);
        assert!(alarm.sentence.starts_with("ALARM") && alarm.sentence.contains("block 90"));
        for one in [few, waiting, confirms, alarm] {
            for word in ["quorum", "slice", "threshold"] {
                assert!(
                    !format!("{}{}", one.sentence, one.next).contains(word),
                    "{}",
                    one.sentence
                );
            }
        }
    }
}
