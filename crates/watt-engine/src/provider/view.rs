//! What the ledger shows of one provider, read once per block.

use super::pack::LooseSlot;
use crate::effect::{AnsweredWindow, FoldJob, SealJob, WindowJob};
use crate::event::SealedRoots;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};
use watt_ledger::query::Shown;
use watt_ledger::rows::{
    self, AskRow, AuditRow, BatchRow, ChainRow, DealRow, DealStage, DisputeRow, HeartbeatRow, ProviderRow,
    RulesRow, SectorRow, SectorStage, SlotRow,
};
use watt_ledger::{Beacon, StateRead, query};
use watt_light::SlotRef;
use watt_light::operation::CLAIM_SLOTS_MAX;
use watt_primitives::terms::Piece;
use watt_primitives::{
    AccountId, Amount, BlockHeight, DealId, Hash, NetworkId, SectorNumber, SlotIndexInDeal, Window,
};
use watt_proofs::window::{self, beacon_element};
use watt_proofs::{Element, PieceTable, ProofParams, SectorSize, challenge};

/// The most slots of one provider that are looked at.
const SLOTS_MAX: usize = 65_536;

/// The most sectors of one provider that are looked at.
const SECTORS_MAX: usize = 8_192;

/// How often in a period proven time is claimed: each claim names its slots, and stays on the ledger.
const CLAIMS_PER_PERIOD: u64 = 4;

/// The rows under this prefix, by the number at the end of their keys.
fn numbered<T: DeserializeOwned>(chain: &impl StateRead, prefix: &[u8]) -> BTreeMap<SectorNumber, T> {
    let rows = chain.scan(prefix, None, SECTORS_MAX);
    let numbered = rows.iter().filter_map(|(key, _)| {
        let number = SectorNumber(u64::from_be_bytes(*key.last_chunk()?));
        Some((number, rows::read(chain, key)?))
    });
    numbered.collect()
}

/// Rows of one provider.
pub(super) struct View<'a, S> {
    chain: &'a S,
    network: NetworkId,
    account: AccountId,
    rules: RulesRow,
    pub(super) height: BlockHeight,
    pub(super) window: Window,
    pub(super) provider: Option<ProviderRow>,
    pub(super) ask: Option<AskRow>,
    sectors: BTreeMap<SectorNumber, SectorRow>,
    /// Those that wait to be answered for together, by the number of their first.
    pub(super) batches: BTreeMap<SectorNumber, BatchRow>,
    slots: Vec<(DealId, SlotIndexInDeal, SlotRow)>,
}

/// Windows that wait to be settled together.
pub(super) struct Waiting {
    pub(super) job: FoldJob,
    /// Whether the next block may settle them.
    pub(super) is_due: bool,
}

impl<'a, S: StateRead> View<'a, S> {
    pub(super) fn read(chain: &'a S, network: NetworkId, account: AccountId) -> Option<Self> {
        let rules: RulesRow = rows::read(chain, rows::RULES)?;
        let head: ChainRow = rows::read(chain, rows::CHAIN)?;
        let window = Window(head.height.0.checked_div(rules.parameters.window_slots)?);
        let sectors = numbered(chain, &rows::sectors(&account));
        let batches = numbered(chain, &rows::batches(&account));
        let index = chain.scan(&rows::slots_of_provider(&account), None, SLOTS_MAX);
        let slots = index.iter().filter_map(|(key, _)| {
            let (slot, rest) = key.split_last()?;
            let (deal, slot) = (DealId(*rest.last_chunk()?), SlotIndexInDeal(*slot));
            Some((deal, slot, rows::read(chain, &rows::slot(&deal, slot))?))
        });
        Some(Self {
            height: head.height,
            window,
            provider: rows::read(chain, &rows::provider(&account)),
            ask: rows::read(chain, &rows::ask(&account)),
            sectors,
            batches,
            slots: slots.collect(),
            chain,
            network,
            account,
            rules,
        })
    }

    pub(super) fn params(&self) -> ProofParams {
        if self.rules.parameters.insecure_proofs {
            ProofParams::DEVNET
        } else {
            ProofParams::MAIN
        }
    }

    fn deal(&self, deal: &DealId) -> Option<DealRow> {
        rows::read(self.chain, &rows::deal(deal))
    }

    pub(super) fn sector(&self, number: SectorNumber) -> Option<&SectorRow> {
        self.sectors.get(&number)
    }

    /// Certified slots that lie in no sector.
    pub(super) fn loose_slots(&self) -> Vec<LooseSlot> {
        let loose = self.slots.iter().filter(|(.., row)| row.sector.is_none());
        loose
            .filter_map(|(deal, slot, row)| {
                let terms = self
                    .deal(deal)
                    .filter(|deal| matches!(deal.stage, DealStage::Active { .. }))?
                    .terms;
                let root = *terms.slot_roots.get(usize::from(slot.0))?;
                (row.accepted_height > BlockHeight(0)).then_some(LooseSlot {
                    deal: *deal,
                    slot: *slot,
                    root,
                    len: terms.slot_bytes,
                })
            })
            .collect()
    }

    /// A number that was never used.
    pub(super) fn next_sector_number(&self, taken: impl Iterator<Item = SectorNumber>) -> SectorNumber {
        let highest = taken.chain(self.sectors.keys().copied()).max();
        let mut number = highest.map_or(1, |number| number.0.saturating_add(1));
        while self
            .chain
            .get(&rows::used_sector(&self.account, SectorNumber(number)))
            .is_some()
        {
            number = number.saturating_add(1);
        }
        SectorNumber(number)
    }

    /// Everything the bytes of a new sector depend on; sealed with the newest beacon of a window.
    pub(super) fn seal_job(&self, sector: SectorNumber, units: u16, pieces: Vec<Piece>) -> Option<SealJob> {
        let size = SectorSize::new(&self.params(), u32::from(units)).ok()?;
        PieceTable::check(size, pieces.clone()).ok()?;
        let provider = self.account;
        let (seal_window, _) = query::seal_window(self.chain)?;
        let seal_seed = query::seal_seed(self.chain, &provider, sector, seal_window)?;
        Some(SealJob {
            provider,
            sector,
            units,
            pieces,
            seal_window,
            seal_seed,
        })
    }

    /// The challenge of a pre-committed sector, once its beacon is known.
    pub(super) fn porep_seed(
        &self,
        sector: SectorNumber,
        window: Window,
        roots: &SealedRoots,
    ) -> Option<Hash> {
        let beacon = Beacon::asking(self.chain, &self.network, window)?;
        let (comm_c, comm_r) = (&roots.comm_c, &roots.comm_r);
        Some(challenge::porep_seed(
            &self.network,
            beacon.value(),
            &self.account,
            sector,
            comm_c,
            comm_r,
        ))
    }

    /// What a live sector is asked again, if it is.
    pub(super) fn audit(&self, sector: SectorNumber) -> Option<AuditRow> {
        query::audit(self.chain, &self.account, sector)
    }

    /// What the committee of a batch looks at.
    pub(super) fn shown(&self, batch: SectorNumber) -> Option<Shown> {
        query::shown_batch(self.chain, &self.account, batch)
    }

    /// Whether a sealed sector has no future on the ledger.
    pub(super) fn is_dead(&self, job: &SealJob) -> bool {
        if let Some(row) = self.sector(job.sector) {
            return match row.stage {
                SectorStage::PreCommitted { .. } | SectorStage::Active { .. } => false,
                SectorStage::Ended { last, .. } => last.next() < self.window,
            };
        }
        let is_used = self
            .chain
            .get(&rows::used_sector(&self.account, job.sector))
            .is_some();
        let is_stale = query::seal_window(self.chain)
            .is_some_and(|(newest, n_kept)| job.seal_window.0.saturating_add(n_kept / 2) < newest.0);
        is_used || is_stale || job.pieces.iter().any(|piece| self.is_over(piece))
    }

    /// Slots of this provider that somebody wants to see a group of.
    pub(super) fn disputes(&self) -> impl Iterator<Item = (SlotRef, DisputeRow)> {
        self.slots.iter().filter_map(|(deal, slot, row)| {
            let (deal, slot) = (*deal, *slot);
            Some((SlotRef { deal, slot }, row.dispute?))
        })
    }

    /// Whether nobody pays for this piece any more: its deal is over, or the slot is lost.
    pub(super) fn is_over(&self, piece: &Piece) -> bool {
        match piece {
            Piece::Slot { deal, slot, .. } => self.deal(deal).is_none_or(|row| {
                let is_lost = row
                    .lost
                    .iter()
                    .any(|lost| lost.slot == *slot && lost.provider == self.account);
                is_lost || matches!(row.stage, DealStage::Ended { .. })
            }),
            Piece::Filler { .. } => false,
        }
    }

    pub(super) fn heartbeat(&self, window: Window) -> Option<HeartbeatRow> {
        rows::read(self.chain, &rows::heartbeat(&self.account, window))
    }

    /// What `window` asks with, once it is made.
    pub(super) fn window_beacon(&self, window: Window) -> Option<Element> {
        let beacon = Beacon::asking(self.chain, &self.network, window)?;
        Some(beacon_element(&self.network, beacon.value()))
    }

    /// What `window`, the current one or the one before, asks of this provider; `None` if nothing.
    pub(super) fn window_job(&self, window: Window) -> Option<WindowJob> {
        let asked = query::provider_window(self.chain, &self.account, window)?;
        Some(WindowJob {
            window,
            sectors: asked.sectors,
            left_out: asked.left_out,
            state: asked.state,
            beacon: asked.beacon,
        })
    }

    /// Windows before the current one that were answered and are not proven by themselves, the two newest at most: with what draws
    /// their samples, or zero in its place if that can't come any more.
    pub(super) fn answered(&self) -> Vec<AnsweredWindow> {
        let last = self.provider.as_ref().and_then(|row| row.last_heartbeat);
        let newest: BTreeSet<Window> = last
            .into_iter()
            .flat_map(|last| [last.previous(), last])
            .filter(|window| *window < self.window)
            .collect();
        let answered = newest.into_iter().filter_map(|window| {
            let row = self.heartbeat(window).filter(|row| !row.is_proven)?;
            let next_beacon = self.window_beacon(window.next());
            if next_beacon.is_none() && window.next() == self.window {
                return None;
            }
            Some(AnsweredWindow {
                window,
                shape: row.shape(),
                state: row.state,
                shown: window::Window {
                    set: row.set,
                    beacon: self.window_beacon(window).unwrap_or_default(),
                    answers: row.answers,
                    next_beacon: next_beacon.unwrap_or_default(),
                },
            })
        });
        answered.collect()
    }

    /// Windows that wait to be settled together, oldest first.
    pub(super) fn waiting(&self) -> Vec<Waiting> {
        let next = self
            .height
            .next()
            .0
            .checked_div(self.rules.parameters.window_slots);
        let all = query::waiting_windows(self.chain, &self.account).into_iter();
        all.map(|waiting| Waiting {
            is_due: next.is_some_and(|next| waiting.due_from <= Window(next)),
            job: FoldJob {
                shape: waiting.period.shape,
                first: waiting.period.first,
                last: waiting.period.last,
                from: waiting.period.from,
                to: waiting.period.to,
                n_windows: waiting.period.n_windows,
            },
        })
        .collect()
    }

    /// Slots for which something is earned and not paid, if they were paid for proven time long enough ago.
    pub(super) fn claimable(&self) -> Vec<SlotRef> {
        let period = self.rules.parameters.settlement_windows;
        let pause = period.checked_div(CLAIMS_PER_PERIOD).unwrap_or(0).max(1);
        let proven_ms = self.provider.as_ref().map_or(0, |row| row.proven_ms);
        let is_due = |row: &SlotRow| {
            let sector = row.sector.and_then(|number| self.sector(number));
            let earned = sector.map(|sector| row.funds.due(sector.proven_ms(proven_ms)));
            let is_earlier = |last: Window| last.0.saturating_add(pause) <= self.window.0;
            earned > Some(Amount::ZERO) && row.last_claim.is_none_or(is_earlier)
        };
        let due = self.slots.iter().filter(|(_, _, row)| is_due(row));
        let due = due.map(|(deal, slot, _)| SlotRef {
            deal: *deal,
            slot: *slot,
        });
        due.take(CLAIM_SLOTS_MAX).collect()
    }
}
