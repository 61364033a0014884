//! People who have files stored: bid, upload, certify, and read again.

use super::{File, Trade};
use crate::luck::Luck;
use crate::people::{People, submit};
use crate::violation::{Promise, Violation};
use crate::world::World;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use watt_ledger::query;
use watt_ledger::rows::DealStage;
use watt_light::operation::AcceptanceTerms;
use watt_light::{Acceptance, Operation};
use watt_primitives::class::Class;
use watt_primitives::{AccountId, Amount, BlockHeight, BoundedVec, DealId, Hash, SlotIndexInDeal};

/// Most a client pays per 10⁹ bytes and day.
const PRICE_MAX: Amount = Amount(200 * 100_000_000);

/// Seconds between two readings of a file by its owner.
const READ_EVERY_S: u64 = 10;

/// Number of the first person who stores files; those before pay one another.
pub const FIRST_CLIENT: usize = 12;

/// Files that are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Habits {
    /// How many.
    pub files: usize,
    /// Bytes of each.
    pub bytes: usize,
    /// Seconds between two of them.
    pub every_s: u64,
    /// For how many seconds each is to be kept.
    pub term_s: u64,
    /// What clients do who do not mean it.
    pub client: Client,
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            files: 0,
            bytes: 100_000,
            every_s: 5,
            term_s: 86_400,
            client: Client::Honest,
        }
    }
}

/// What sort of client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Client {
    /// Stores and pays.
    #[default]
    Honest,
    /// Empties its account and ends its deals as soon as they are certified: stops paying.
    Deadbeat,
    /// Bids and never uploads.
    Squatter,
}

/// One file on its way.
struct Put {
    file: File,
    person: usize,
    begins_s: u64,
    deal: Option<(DealId, BlockHeight)>,
    accepted: BTreeMap<u8, Acceptance>,
    certify_at: BlockHeight,
    is_acknowledged: bool,
    is_over: bool,
    has_run: bool,
}

/// All who store.
pub struct Clients {
    habits: Habits,
    puts: Vec<Put>,
    luck: Luck,
    /// Slots that the world's faults have destroyed, or that dishonest hands hold.
    lost: BTreeSet<(DealId, SlotIndexInDeal)>,
    /// Files that were certified.
    pub n_acknowledged: usize,
    /// Files read again, whole.
    pub n_read: u64,
    /// How often a holder gave a reader nothing.
    pub n_refused: u64,
    checked: BlockHeight,
}

impl Clients {
    /// Draws the files.
    ///
    /// # Errors
    /// A file that one bundle does not hold; the sentence says so.
    pub fn new(habits: Habits, mut luck: Luck) -> Result<Self, String> {
        let mut puts = Vec::new();
        for number in 0..habits.files {
            let file = File::draw(habits.bytes, &mut luck).map_err(|error| error.to_string())?;
            puts.push(Put {
                file,
                person: FIRST_CLIENT + number % 4,
                begins_s: 2 + habits.every_s.saturating_mul(u64::try_from(number).unwrap_or(0)),
                deal: None,
                accepted: BTreeMap::new(),
                certify_at: BlockHeight(0),
                is_acknowledged: false,
                is_over: false,
                has_run: false,
            });
        }
        Ok(Self {
            habits,
            puts,
            luck,
            lost: BTreeSet::new(),
            n_acknowledged: 0,
            n_read: 0,
            n_refused: 0,
            checked: BlockHeight(0),
        })
    }

    /// Whether every file is certified or over.
    #[must_use]
    pub fn are_done(&self) -> bool {
        self.puts.iter().all(|put| put.is_acknowledged || put.is_over)
    }

    /// What clients do in one second, `second` after the beginning.
    pub fn act(&mut self, world: &mut World, people: &mut People, second: u64) {
        for at in 0..self.puts.len() {
            if self.puts[at].begins_s <= second && !self.puts[at].is_over {
                self.step(world, people, at);
                if self.puts[at].is_acknowledged && second.is_multiple_of(READ_EVERY_S) {
                    self.read(world, at);
                }
            }
        }
    }

    fn any_node(&mut self, world: &World) -> Option<usize> {
        let up: Vec<usize> = (0..world.nodes.len())
            .filter(|node| world.nodes[*node].is_up() && world.nodes[*node].is_honest())
            .collect();
        (!up.is_empty()).then(|| up[self.luck.index(up.len())])
    }

    fn step(&mut self, world: &mut World, people: &mut People, at: usize) {
        let state = world.state();
        let Some((deal, until)) = self.puts[at].deal else {
            self.bid(world, people, at);
            return;
        };
        let Some(known) = query::deal(&*state, &deal) else {
            if world.height() > until {
                self.puts[at].deal = None;
            }
            return;
        };
        match known.row.stage {
            DealStage::Open { .. } => {}
            DealStage::Matched { .. } if self.habits.client == Client::Squatter => {}
            DealStage::Matched { .. } => {
                self.upload(world, at, &known);
                let enough = usize::from(Class::Devnet.certify_min());
                if self.puts[at].accepted.len() >= enough && world.height() >= self.puts[at].certify_at {
                    let acceptances = self.puts[at].accepted.values().copied().collect();
                    let acceptances = BoundedVec::new(acceptances).unwrap_or_default();
                    self.hand_in(world, people, at, Operation::Certify { deal, acceptances });
                    self.puts[at].certify_at = world.height().plus(6);
                }
            }
            DealStage::Active { .. } | DealStage::Ending { .. } => {
                if !self.puts[at].is_acknowledged {
                    self.puts[at].is_acknowledged = true;
                    self.n_acknowledged += 1;
                    let now = world.now;
                    world
                        .trace
                        .note(now, format_args!("file {at} is certified as {deal}"));
                }
                if self.habits.client == Client::Deadbeat && !self.puts[at].has_run {
                    self.run_away(world, people, at, deal);
                }
            }
            DealStage::Ended { how, .. } => {
                let now = world.now;
                world.trace.note(now, format_args!("file {at} is over: {how:?}"));
                self.puts[at].is_over = true;
            }
        }
    }

    fn hand_in(
        &mut self,
        world: &mut World,
        people: &mut People,
        at: usize,
        operation: Operation,
    ) -> Option<u64> {
        let node = self.any_node(world)?;
        let signed = people.sign(world, self.puts[at].person, vec![operation])?;
        let nonce = signed.transaction.nonce;
        submit(world, node, signed);
        Some(nonce)
    }

    fn bid(&mut self, world: &mut World, people: &mut People, at: usize) {
        let terms = self.puts[at].file.terms();
        let term_ms = self.habits.term_s * 1_000;
        let state = world.state();
        let escrow =
            query::rules(&*state).and_then(|rules| query::escrow_needed(&rules, &terms, PRICE_MAX, term_ms));
        let Some(escrow) = escrow else { return };
        let operation = Operation::PlaceBid {
            terms,
            price_max: PRICE_MAX,
            escrow,
            term_ms,
            exclude: BoundedVec::empty(),
        };
        let account = account_of("person", self.puts[at].person);
        if let Some(nonce) = self.hand_in(world, people, at, operation) {
            let deal = DealId::derive(&world.network, &account, 0, nonce, 0);
            self.puts[at].deal = Some((deal, world.height().plus(14)));
            self.puts[at].accepted.clear();
        }
    }

    /// Sends every slot that is not accepted yet to its holder, if it can be reached and takes it.
    fn upload(&mut self, world: &mut World, at: usize, deal: &query::Deal) {
        for slot in &deal.slots {
            if self.puts[at].accepted.contains_key(&slot.index.0) {
                continue;
            }
            let Some(node) = world.provider_node(&slot.row.provider) else {
                continue;
            };
            let place = usize::from(slot.index.0);
            let bytes = self.puts[at].file.slots[place].clone();
            let root = deal.row.terms.slot_roots.get(place).copied();
            if let Some(acceptance) = world.take_slot(node, deal.id, slot.index, root, bytes) {
                self.puts[at].accepted.insert(slot.index.0, acceptance);
            }
        }
    }

    /// Reads a file as its owner does: asks holders in any order, and goes elsewhere when one gives nothing.
    fn read(&mut self, world: &mut World, at: usize) {
        let state = world.state();
        let deal = self.puts[at]
            .deal
            .and_then(|(deal, _)| query::deal(&*state, &deal));
        let Some(deal) = deal else { return };
        let order = self.luck.choose(deal.slots.len(), deal.slots.len());
        let first = self.luck.index(order.len());
        let (mut given, k) = (BTreeMap::new(), usize::from(Class::Devnet.k()));
        for place in order.iter().cycle().skip(first).take(order.len()) {
            let slot = &deal.slots[*place];
            let root = deal.row.terms.slot_roots.get(usize::from(slot.index.0));
            let node = world.provider_node(&slot.row.provider);
            let bytes = node.and_then(|node| world.give_slot(node, deal.id, slot.index));
            match bytes.filter(|bytes| root == Some(&Hash::of_content(bytes))) {
                Some(bytes) => drop(given.insert(slot.index.0, bytes)),
                None => self.n_refused += 1,
            }
            if given.len() == k {
                break;
            }
        }
        let now = world.now;
        if given.len() < k {
            let n = given.len();
            world
                .trace
                .note(now, format_args!("file {at} can't be read now: {n} slots of {k}"));
            return;
        }
        match self.puts[at].file.read_back(&given) {
            Ok(()) => {
                self.n_read += 1;
                world.trace.note(now, format_args!("file {at} is read"));
            }
            Err(error) => world.fail(Violation::of(
                Promise::Recoverable,
                format_args!("deal {} was read wrong: {error:#}", deal.id),
            )),
        }
    }

    /// Ends the deal at once and sends all money away.
    fn run_away(&mut self, world: &mut World, people: &mut People, at: usize, deal: DealId) {
        self.puts[at].has_run = true;
        let account = account_of("person", self.puts[at].person);
        let balance = query::account(&*world.state(), &account).map_or(Amount::ZERO, |row| row.balance);
        let away = Operation::Transfer {
            to: account_of("person", 1),
            amount: balance,
            memo: watt_primitives::BoundedBytes::new(Vec::new()).unwrap_or_default(),
        };
        self.hand_in(world, people, at, away);
        self.hand_in(world, people, at, Operation::Terminate { deal });
    }

    /// What was acknowledged is there: every holder that nothing happened to has its slot, and what they have is the file.
    ///
    /// # Errors
    /// [`Promise::Recoverable`].
    pub fn check(&mut self, world: &World) -> Result<(), Violation> {
        if world.height() == self.checked {
            return Ok(());
        }
        self.checked = world.height();
        let state = world.state();
        for at in 0..self.puts.len() {
            let put = &self.puts[at];
            let Some((id, _)) = put.deal.filter(|_| put.is_acknowledged && !put.is_over) else {
                continue;
            };
            let Some(deal) = query::deal(&*state, &id) else {
                continue;
            };
            if matches!(deal.row.stage, DealStage::Ended { .. }) {
                continue;
            }
            let mut held: BTreeMap<u8, &[u8]> = BTreeMap::new();
            for slot in &deal.slots {
                let Some(node) = world.provider_node(&slot.row.provider) else {
                    continue;
                };
                let node = &world.nodes[node];
                let key = (id, slot.index);
                let is_lost = node.is_lost()
                    || node.trade.is_some()
                    || node.disk.vault.rotten_pieces.contains(&key)
                    || node.disk.vault.was_wiped;
                if is_lost {
                    self.lost.insert(key);
                }
                match node.disk.vault.pieces.get(&key) {
                    Some(bytes) if !is_lost => {
                        held.insert(slot.index.0, bytes);
                    }
                    None if !is_lost => {
                        let provider = slot.row.provider;
                        return Err(Violation::of(
                            Promise::Recoverable,
                            format_args!(
                                "provider {provider} has lost slot {} of deal {id}, and nothing happened to it",
                                slot.index
                            ),
                        ));
                    }
                    Some(_) | None => {}
                }
            }
            let k = usize::from(Class::Devnet.k());
            if held.len() < k {
                let n_lost = self.lost.iter().filter(|(deal, _)| *deal == id).count();
                if n_lost <= usize::from(Class::Devnet.n()) - k {
                    let facts = format!("{} slots of deal {id} are left, {k} are needed", held.len());
                    return Err(Violation::of(Promise::Recoverable, facts));
                }
                continue;
            }
            // The last ones: those that need the most work.
            let last: BTreeMap<u8, &[u8]> = held
                .iter()
                .rev()
                .take(k)
                .map(|(slot, bytes)| (*slot, *bytes))
                .collect();
            if let Err(error) = put.file.read_back(&last) {
                return Err(Violation::of(
                    Promise::Recoverable,
                    format_args!("deal {id} can't be read again: {error:#}"),
                ));
            }
            self.n_read += 1;
        }
        Ok(())
    }
}

/// The account of someone with a role and a number.
#[must_use]
pub fn account_of(role: &str, number: usize) -> AccountId {
    AccountId::of_first_key(&crate::world::key_of(role, number).public())
}

impl World {
    /// The node of a provider.
    #[must_use]
    pub fn provider_node(&self, account: &AccountId) -> Option<usize> {
        self.providers.get(account).copied()
    }

    /// A provider's end of a reading: the slot, if it is up, has it whole, and gives to readers.
    #[must_use]
    pub fn give_slot(&self, node: usize, deal: DealId, slot: SlotIndexInDeal) -> Option<&[u8]> {
        let node = &self.nodes[node];
        let key = (deal, slot);
        let gives = node.is_up() && node.trade.is_none_or(Trade::gives_to_readers);
        let vault = &node.disk.vault;
        let bytes = vault.pieces.get(&key).map(Vec::as_slice);
        bytes.filter(|_| gives && !vault.rotten_pieces.contains(&key))
    }

    /// A provider's end of an upload: checks what the real one checks, keeps the slot, and signs for it. `None` if it can't
    /// be reached or refuses.
    pub fn take_slot(
        &mut self,
        node: usize,
        deal: DealId,
        slot: SlotIndexInDeal,
        root: Option<Hash>,
        bytes: Vec<u8>,
    ) -> Option<Acceptance> {
        let this = &mut self.nodes[node];
        let key = this.offer.as_ref()?.account_key.clone();
        let account = AccountId::of_first_key(&key.public());
        if !this.is_up() {
            return None;
        }
        // By the provider's own ledger, which may be behind the client's.
        let known = query::slot(&*this.disk.state, &deal, slot)?;
        let terms = query::deal(&*this.disk.state, &deal)?.row;
        let is_its = known.row.provider == account
            && matches!(terms.stage, DealStage::Matched { .. } | DealStage::Active { .. })
            && terms.terms.slot_roots.get(usize::from(slot.0)) == root.as_ref()
            && Hash::of_content(&bytes) == root?
            && u64::try_from(bytes.len()) == Ok(terms.terms.slot_bytes);
        if !is_its || !this.disk.vault.has_room(terms.terms.slot_bytes) {
            return None;
        }
        this.disk.vault.pieces.insert((deal, slot), bytes);
        let root = root?;
        let acceptance = AcceptanceTerms { deal, slot, root }.accept(&key, &self.network);
        self.trace
            .note(self.now, format_args!("n{node} takes slot {slot} of {deal}"));
        Some(acceptance)
    }
}
