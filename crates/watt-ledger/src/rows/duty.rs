//! Who may hold a seat of the backbone, with which keys, and what they do for it (`docs/spec/ledger.md` §13 to §15).

use serde::{Deserialize, Serialize};
use watt_light::backbone::SEATS_MAX;
use watt_light::operation::VOUCHERS;
use watt_primitives::codec::zero_or_one;
use watt_primitives::{
    AccountId, BlockHeight, BoundedBytes, BoundedVec, Hash, NodeId, SlotIndex, Term, Window,
};
use watt_trust::Backbone;
use watt_trust::backbone::Plan;

/// The most bytes of an attendance: one bit for each window of the longest term.
pub const ATTENDANCE_BYTES_MAX: usize = 512;

/// Somebody who offers to hold a seat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StandingRow {
    /// Who vouches for them.
    pub vouchers: [AccountId; VOUCHERS],
    /// Term in which they offered it.
    pub since: Term,
    /// Since which term their rank is among the best without a break: from then on their attendance counts.
    #[serde(with = "zero_or_one")]
    pub ranked_since: Option<Term>,
    /// Terms in a row in which it was not.
    pub outside_terms: u64,
    /// Terms of a validator's work in shadow.
    pub shadow_terms: u64,
    /// Since which term they stand by without a break.
    #[serde(with = "zero_or_one")]
    pub listed_since: Option<Term>,
}

/// A voting key of one account for one term, and how far its onion is peeled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VotingKeyRow {
    /// The key.
    pub key: NodeId,
    /// The newest layer that is known.
    pub onion: Hash,
    /// Windows of the term up to which it is peeled.
    pub n_peeled: u64,
    /// Windows whose beacon was made without it.
    pub n_missed: u64,
}

/// Whose a voting key is; such a row stays for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UseOfKey {
    /// Who registered it.
    pub account: AccountId,
    /// For which term; 0 for keys of the genesis.
    pub term: Term,
}

/// The key that votes for a seat in place of the one in the backbone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuccessionRow {
    /// Which successor it is, from 1.
    pub generation: u8,
    /// The key.
    pub key: NodeId,
}

/// When somebody was there in a term, and with which program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttendanceRow {
    /// The windows of the term: bit `j mod 8`, lowest first, of byte `j / 8` for window number `j`. No zero byte at the end.
    pub windows: BoundedBytes<ATTENDANCE_BYTES_MAX>,
    /// The highest version of the rules that the program knew that attended last; 0 if none did.
    pub knows: u32,
}

impl AttendanceRow {
    /// Nowhere.
    #[must_use]
    pub fn none() -> Self {
        Self {
            windows: BoundedBytes::new(Vec::new()).unwrap_or_default(),
            knows: 0,
        }
    }

    /// Whether they were there in window number `at` of the term.
    #[must_use]
    pub fn has(&self, at: u64) -> bool {
        let (byte, bit) = place(at);
        self.windows.get(byte).is_some_and(|byte| byte & bit != 0)
    }

    /// Notes that they were; `false` if that window lies beyond all terms.
    pub(crate) fn note(&mut self, at: u64) -> bool {
        let (byte, bit) = place(at);
        let mut bytes = self.windows.to_vec();
        bytes.resize(bytes.len().max(byte.saturating_add(1)), 0);
        if let Some(byte) = bytes.get_mut(byte) {
            *byte |= bit;
        }
        BoundedBytes::new(bytes).map(|bytes| self.windows = bytes).is_ok()
    }

    /// Windows below number `to` in which they were there.
    #[must_use]
    pub fn n_attended(&self, to: u64) -> u64 {
        let there = (0..to).filter(|at| self.has(*at)).count();
        u64::try_from(there).unwrap_or(u64::MAX)
    }
}

fn place(at: u64) -> (usize, u8) {
    let byte = usize::try_from(at / 8).unwrap_or(ATTENDANCE_BYTES_MAX);
    (
        byte,
        1u8.checked_shl(u32::try_from(at % 8).unwrap_or(0)).unwrap_or(0),
    )
}

/// What a window asks of those who attend, and the beacon made after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DutyWindowRow {
    /// The height whose header has to be named.
    pub asked: BlockHeight,
    /// That header's hash, as soon as there is a block on top of it.
    #[serde(with = "zero_or_one")]
    pub header: Option<Hash>,
    /// The window's beacon, once it is made.
    #[serde(with = "zero_or_one")]
    pub beacon: Option<Hash>,
    /// Whether so few revealed that it has a filler, which a proposer can choose.
    pub is_filled: bool,
}

/// Layers revealed for the beacon that is being made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevealsRow {
    /// Of which window.
    pub window: Window,
    /// Ascending by account.
    pub layers: BoundedVec<Revealed, SEATS_MAX>,
}

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revealed {
    /// Whose.
    pub account: AccountId,
    /// The layer.
    pub layer: Hash,
}

/// The seats as they are decided furthest ahead; there is none in a network whose backbone is not `3f + 1`, which stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeatsRow {
    /// The term for which they are decided.
    pub term: Term,
    /// Holders and substitutes.
    pub backbone: Backbone,
    /// Those with a seat who asked to leave.
    pub leaving: BoundedVec<AccountId, { 2 * SEATS_MAX }>,
    /// What is to change with the term after, from the middle of the term before it until it is final.
    #[serde(with = "zero_or_one")]
    pub plan: Option<Plan>,
}

/// What is counted for seats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DutyCountsRow {
    /// Slots of the running term that were late.
    pub n_late: u64,
    /// Slots of the term before that were late.
    pub n_late_before: u64,
    /// People who offer to hold a seat.
    pub n_standing: u64,
}

/// Somebody against whom there is evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultyRow {
    /// Term in which it was handed in.
    pub since: Term,
    /// The slot of which two contradicting things were signed.
    pub slot: SlotIndex,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::genesis::TERM_WINDOWS_MAX;

    /// The longest term fits, one window more does not; only what was noted is counted.
    #[test]
    fn attendance_has_room_for_the_longest_term() {
        let mut row = AttendanceRow::none();
        assert!(row.note(0) && row.note(9) && row.note(9));
        assert_eq!(row.windows.to_vec(), [1, 2]);
        assert!(row.note(TERM_WINDOWS_MAX - 1));
        assert_eq!(row.windows.len(), ATTENDANCE_BYTES_MAX);
        assert!(!row.note(TERM_WINDOWS_MAX));
        assert_eq!(row.n_attended(TERM_WINDOWS_MAX), 3);
        assert_eq!(row.n_attended(9), 1);
        assert!(row.has(9) && !row.has(8) && !row.has(TERM_WINDOWS_MAX));
    }

    /// The largest backbone, with everybody away and asking to leave, stays a row of some kilobytes.
    #[test]
    fn the_largest_row_of_seats_is_small() {
        let person = |n: usize| AccountId([u8::try_from(n).unwrap_or(0); 20]);
        let people = (0..SEATS_MAX).map(person).collect();
        let backbone = Backbone::new(people, Term(u64::MAX >> 1));
        let row = backbone.map(|backbone| SeatsRow {
            term: Term(u64::MAX >> 1),
            backbone,
            leaving: BoundedVec::new(vec![person(1); 2 * SEATS_MAX]).unwrap_or_default(),
            plan: Some(Plan::default()),
        });
        let bytes = row.map(|row| crate::rows::encode(&row).len());
        assert!(bytes.is_ok_and(|n| n < 16 << 10), "{bytes:?}");
    }
}
