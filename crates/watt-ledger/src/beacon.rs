//! The one definition of every drawn value (`docs/spec/ledger.md` §7).
//!
//! A *window* has a beacon made of layers of hash onions that entries of the backbone registered before the term began (§14): nobody
//! who proposes a block can choose it. Seats, attendance, seals and all challenges are drawn by it.
//!
//! Matches and the order of equal fees can't wait for a window. They are drawn by the beacon of a *height*, which is derived from `V`,
//! the value that consensus decided there. Whoever proposes that block can try many bodies and so choose among beacons: **insecure
//! where coins have value**, and [`crate::Genesis::check`] refuses a main network until nothing but the order of fees is drawn so.

use crate::rows::{self, DutyWindowRow};
use crate::state::StateRead;
use watt_primitives::hash::{self, Domain};
use watt_primitives::{AccountId, BlockHeight, DealId, Hash, NetworkId, Term, Window};

/// Whether something is drawn by a beacon that a proposer can choose by trying bodies; a main network needs that nothing is.
pub const IS_GRINDABLE: bool = true;

/// First blocks after a window whose revealed layers make its beacon; half a window if that is less. Any of their proposers may
/// include a layer, so no single one can leave it out.
pub const REVEAL_BLOCKS: u64 = 4;

/// Windows of a term whose beacons an entry may fail before it counts as silent: bounds how often it can choose between two beacons.
pub const MISSES_MAX: u64 = 4;

/// Heights for which `V` is remembered: until the beacon of a window can need it as filler.
pub const HEIGHTS_KEPT: u64 = 2 * REVEAL_BLOCKS;

/// The beacon of one height.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beacon {
    network: NetworkId,
    value: Hash,
}

impl Beacon {
    /// The beacon that consensus value `value` gives.
    #[must_use]
    pub fn of_value(network: &NetworkId, value: &Hash) -> Self {
        Self {
            network: *network,
            value: hash::hash(Domain::Beacon, network, &[value.as_ref()]),
        }
    }

    /// The beacon of `height`; `None` in the future and further back than [`HEIGHTS_KEPT`].
    #[must_use]
    pub fn read(state: &(impl StateRead + ?Sized), network: &NetworkId, height: BlockHeight) -> Option<Self> {
        let value: Hash = rows::read(state, &rows::beacon(height))?;
        Some(Self::of_value(network, &value))
    }

    /// The beacon of `window`: from the one before it and the layers that entries of the backbone revealed after the window. Entry `j`
    /// of the backbone is bit `j mod 8`, lowest first, of byte `j / 8` of `who`, without zero bytes at the end.
    ///
    /// `filler` is `V` of the window's last block if so few revealed that all of them may be faulty, and could have told the beacon
    /// beforehand; a proposer can choose it then.
    #[must_use]
    pub fn of_window(
        network: &NetworkId,
        before: &Self,
        window: Window,
        who: &[u8],
        layers: &[Hash],
        filler: Option<&Hash>,
    ) -> Self {
        let window = window.0.to_be_bytes();
        let mut parts: Vec<&[u8]> = vec![before.value.as_ref(), b"window", &window, who];
        parts.extend(layers.iter().map(AsRef::<[u8]>::as_ref));
        parts.extend(filler.map(AsRef::<[u8]>::as_ref));
        Self {
            network: *network,
            value: hash::hash(Domain::Beacon, network, &parts),
        }
    }

    /// The beacon before that of window 0.
    #[must_use]
    pub fn first(network: &NetworkId) -> Self {
        Self::of_value(network, &Hash::ZERO)
    }

    /// The beacon of `window`; `None` while it is not made, and once it is forgotten.
    #[must_use]
    pub fn read_window(
        state: &(impl StateRead + ?Sized),
        network: &NetworkId,
        window: Window,
    ) -> Option<Self> {
        let row: DutyWindowRow = rows::read(state, &rows::duty_window(window))?;
        row.beacon.map(|value| Self {
            network: *network,
            value,
        })
    }

    /// The beacon that `window` asks with: that of the window before, made in the first blocks of `window`; that of window 0 is
    /// [`Self::first`]. `None` before it is made, and once it is forgotten.
    #[must_use]
    pub fn asking(state: &(impl StateRead + ?Sized), network: &NetworkId, window: Window) -> Option<Self> {
        match window.0.checked_sub(1) {
            Some(before) => Self::read_window(state, network, Window(before)),
            None => Some(Self::first(network)),
        }
    }

    /// The newest beacon of a window, with the window that asks with it: `current`, or the one before while that of `current` is not
    /// made.
    #[must_use]
    pub fn newest(
        state: &(impl StateRead + ?Sized),
        network: &NetworkId,
        current: Window,
    ) -> Option<(Window, Self)> {
        [current, current.previous()]
            .into_iter()
            .find_map(|window| Some((window, Self::asking(state, network, window)?)))
    }

    /// Which of `n` heights has to be named by those who attend `window`, of which this is the beacon before.
    #[must_use]
    pub fn asked_height(&self, window: Window, n: u64) -> u64 {
        let digest = self.draw("attendance", &[&window.0.to_be_bytes()]);
        let head = digest.0.first_chunk().copied().map_or(0, u64::from_be_bytes);
        let scaled = u128::from(head).saturating_mul(u128::from(n)) >> 64;
        u64::try_from(scaled).unwrap_or(0)
    }

    /// The seed from which the seats of `term` are drawn.
    #[must_use]
    pub fn seats_seed(&self, term: Term) -> Hash {
        self.draw("seats", &[&term.0.to_be_bytes()])
    }

    /// The value that orders the bids matched in this block: by account and number of its transaction, so that grinding a
    /// bid's terms moves nothing (TS28).
    #[must_use]
    pub fn bid_order(&self, client: &AccountId, deal: &DealId) -> Hash {
        self.draw("bid-order", &[client.as_ref(), deal.as_ref()])
    }

    /// The seed from which a bid's slots are dealt.
    #[must_use]
    pub fn match_seed(&self, deal: &DealId) -> Hash {
        self.draw("match", &[deal.as_ref()])
    }

    /// The value itself. What proofs draw from it, `watt-proofs` binds to its own purpose, provider and sector.
    #[must_use]
    pub const fn value(&self) -> &Hash {
        &self.value
    }

    /// The order of transactions that offer the same fee.
    #[must_use]
    pub fn fee_tie(&self, transaction: &[u8]) -> Hash {
        self.draw("fee-tie", &[transaction])
    }

    fn draw(&self, purpose: &str, subject: &[&[u8]]) -> Hash {
        let mut parts: Vec<&[u8]> = vec![self.value.as_ref(), purpose.as_bytes()];
        parts.extend_from_slice(subject);
        hash::hash(Domain::Beacon, &self.network, &parts)
    }
}
