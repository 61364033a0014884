//! A provider's sectors: their set in a window, and how they end.

use crate::ledger::Ledger;
use crate::receipt::Event;
use crate::rows::{self, BatchRow, PieceTableRow, SectorRow, SectorStage, SlotRow};
use crate::state::StateRead;
use watt_primitives::terms::Piece;
use watt_primitives::{AccountId, SectorNumber, Window};
use watt_proofs::{ProofParams, SectorEntry, SectorSet, SectorSize};

/// Rows read at a time.
const PAGE: usize = 512;

/// The network's proof parameters.
pub(crate) const fn proof_params(is_insecure: bool) -> ProofParams {
    if is_insecure {
        ProofParams::DEVNET
    } else {
        ProofParams::MAIN
    }
}

/// All sectors of a provider that have rows, ascending.
pub(crate) fn all_sectors(
    state: &(impl StateRead + ?Sized),
    provider: &AccountId,
) -> Vec<(SectorNumber, SectorRow)> {
    let prefix = rows::sectors(provider);
    let (mut all, mut after) = (Vec::new(), None::<Vec<u8>>);
    loop {
        let page = state.scan(&prefix, after.as_deref(), PAGE);
        let Some((last, _)) = page.last() else { break };
        after = Some(last.clone());
        for (key, row) in &page {
            let number = key
                .strip_prefix(prefix.as_slice())
                .and_then(|rest| rest.try_into().ok());
            let Some(number) = number.map(u64::from_be_bytes) else {
                continue;
            };
            all.push((SectorNumber(number), rows::decode(row)));
        }
    }
    all
}

/// The provider's set in `window`; `None` if it had none.
pub(crate) fn sector_set(
    params: &ProofParams,
    sectors: &[(SectorNumber, SectorRow)],
    window: Window,
) -> Option<SectorSet> {
    let in_set = sectors.iter().filter(|(_, row)| row.is_in_set(window));
    let entries = in_set
        .map(|(number, row)| {
            Some(SectorEntry {
                number: *number,
                size: SectorSize::new(params, u32::from(row.units)).ok()?,
                comm_r: row.comm_r,
            })
        })
        .collect::<Option<Vec<_>>>()?;
    SectorSet::check(entries).ok()
}

impl Ledger<'_> {
    pub(super) fn proof_params(&self) -> ProofParams {
        proof_params(self.rules.parameters.insecure_proofs)
    }

    /// A sector none of whose deals is left: it is in the set to the end of this window, and forgotten once that can't be proven any
    /// more.
    pub(super) fn end_sector(&mut self, provider: &AccountId, number: SectorNumber, mut sector: SectorRow) {
        let SectorStage::Active { from } = sector.stage else {
            return;
        };
        let last = self.window();
        sector.stage = SectorStage::Ended { from, last };
        self.look_at_sector_in(provider, number, last.plus(2));
        self.rows.write(rows::sector(provider, number), &sector);
        self.rows.remove(rows::piece_table(provider, number));
        self.remove_lot(provider, number);
        let Some(mut row) = self.provider(provider) else {
            return;
        };
        row.n_active = row.n_active.saturating_sub(1);
        let starting = row.starting.iter().copied().filter(|sector| *sector != number);
        row.starting = starting.collect::<Vec<_>>().try_into().unwrap_or_default();
        if row.n_active == 0 {
            if !core::mem::take(&mut row.is_silent) {
                self.supply.n_providing = self.supply.n_providing.saturating_sub(1);
            }
            // The windows in which it provided are counted here; the running one is let go.
            let counted_before = row.counted_before.unwrap_or(self.chain.windows_counted);
            let spell = self.chain.windows_counted.saturating_sub(counted_before);
            row.due_before = row.due_before.saturating_add(spell);
            row.due_from = None;
            row.counted_before = None;
        }
        self.write_provider(provider, &row);
    }

    /// A batch that was not answered for: none of its sectors comes in.
    pub(super) fn expire_batch(&mut self, provider: &AccountId, batch: SectorNumber) {
        let key = rows::batch(provider, batch);
        let Some(row) = self.rows.read::<BatchRow>(&key) else {
            return;
        };
        self.rows.remove(key);
        for sector in &row.sectors {
            self.expire_sector(provider, *sector);
        }
    }

    /// A pre-committed sector that was never proven: its slots are free for another one, its number is not.
    fn expire_sector(&mut self, provider: &AccountId, number: SectorNumber) {
        let pieces: Option<PieceTableRow> = self.rows.read(&rows::piece_table(provider, number));
        for piece in pieces.iter().flat_map(|table| table.0.iter()) {
            let Piece::Slot { deal, slot, .. } = piece else {
                continue;
            };
            let slot_key = rows::slot(deal, *slot);
            if let Some(mut held) = self.rows.read::<SlotRow>(&slot_key)
                && held.sector == Some(number)
                && held.provider == *provider
            {
                held.sector = None;
                self.rows.write(slot_key, &held);
            }
        }
        self.forget_sector(provider, number);
        self.events.push(Event::SectorExpired {
            provider: *provider,
            sector: number,
        });
    }

    pub(super) fn forget_sector(&mut self, provider: &AccountId, number: SectorNumber) {
        self.rows.remove(rows::sector(provider, number));
        self.rows.remove(rows::piece_table(provider, number));
        if let Some(mut row) = self.provider(provider) {
            row.n_sectors = row.n_sectors.saturating_sub(1);
            self.write_provider(provider, &row);
        }
    }
}
