//! The one definition of every drawn value (`docs/spec/ledger.md` §7).
//!
//! A *window* has a beacon made of layers of hash onions that entries of the backbone registered before the term began (§14): nobody
//! who proposes a block can choose it. Seats, attendance, seals, all challenges and the holders of bundles are drawn by it.

use crate::rows::{self, DutyWindowRow, RulesRow};
use crate::state::StateRead;
use watt_primitives::hash::{self, Domain};
use watt_primitives::{AccountId, BlockHeight, DealId, Hash, NetworkId, SectorNumber, Term, Window};

/// First blocks after a window whose revealed layers make its beacon; half a window if that is less. Any of their proposers may
/// include a layer, so no single one can leave it out.
pub const REVEAL_BLOCKS: u64 = 4;

/// Windows of a term whose beacons an entry may fail before it counts as silent: bounds how often it can choose between two beacons.
pub const MISSES_MAX: u64 = 4;

/// The beacon of one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beacon {
    network: NetworkId,
    value: Hash,
}

impl Beacon {
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
        Self {
            network: *network,
            value: hash::hash(Domain::Beacon, network, &[Hash::ZERO.as_ref()]),
        }
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

    /// The beacon by which bids are matched in `window`: what it asks with. `None` before that is made, and in a main network if a
    /// proposer could have chosen it: bids wait for a better one then.
    #[must_use]
    pub fn matching(state: &(impl StateRead + ?Sized), rules: &RulesRow, window: Window) -> Option<Self> {
        let before = Window(window.0.checked_sub(1)?);
        let row: DutyWindowRow = rows::read(state, &rows::duty_window(before))?;
        let value = row.beacon.filter(|_| !(rules.is_main && row.is_filled))?;
        Some(Self {
            network: rules.network,
            value,
        })
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
        self.draw("attendance", &[&window.0.to_be_bytes()]).below(n)
    }

    /// The seed from which the seats of `term` are drawn.
    #[must_use]
    pub fn seats_seed(&self, term: Term) -> Hash {
        self.draw("seats", &[&term.0.to_be_bytes()])
    }

    /// The value that orders the seats of a backbone for the committee of a sector: the lowest are its members.
    #[must_use]
    pub fn committee_order(&self, provider: &AccountId, sector: SectorNumber, member: &AccountId) -> Hash {
        let sector = sector.0.to_be_bytes();
        self.draw("porep-committee", &[provider.as_ref(), &sector, member.as_ref()])
    }

    /// The same for the committee of a live sector that is asked again.
    #[must_use]
    pub fn audit_order(&self, provider: &AccountId, sector: SectorNumber, member: &AccountId) -> Hash {
        let sector = sector.0.to_be_bytes();
        self.draw("audit-committee", &[provider.as_ref(), &sector, member.as_ref()])
    }

    /// How many of `n_lots` sectors are asked again when the window opens of which this is the beacon before, if each is to be once in
    /// `windows` windows.
    #[must_use]
    pub fn audits(&self, n_lots: u64, windows: u64) -> u64 {
        let (Some(whole), Some(rest)) = (n_lots.checked_div(windows), n_lots.checked_rem(windows)) else {
            return 0;
        };
        let is_one_more = self.draw("audit-rest", &[]).below(windows) < rest;
        whole.saturating_add(u64::from(is_one_more))
    }

    /// The lot of the audit with this number, of `n_lots`.
    #[must_use]
    pub fn audited_lot(&self, number: u64, n_lots: u64) -> u64 {
        self.draw("audit", &[&number.to_be_bytes()]).below(n_lots)
    }

    /// The value that orders bids of one height. A deal's id is that of its bid's account, key and number: grinding a bid's terms moves
    /// nothing (TS28).
    #[must_use]
    pub fn bid_order(&self, deal: &DealId) -> Hash {
        self.draw("bid-order", &[deal.as_ref()])
    }

    /// The seed of the lots for a bid.
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

    /// The order of duties in the block at `height`, for which nobody pays: by whose they are, since an author can try out transactions
    /// until one is drawn early.
    #[must_use]
    pub fn duty_tie(&self, account: &AccountId, height: BlockHeight) -> Hash {
        self.draw("duty-tie", &[account.as_ref(), &height.0.to_be_bytes()])
    }

    fn draw(&self, purpose: &str, subject: &[&[u8]]) -> Hash {
        let mut parts: Vec<&[u8]> = vec![self.value.as_ref(), purpose.as_bytes()];
        parts.extend_from_slice(subject);
        hash::hash(Domain::Beacon, &self.network, &parts)
    }
}
