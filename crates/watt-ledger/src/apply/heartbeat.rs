//! Committing to a window's answers before the sample exists. The first heartbeat of a provider in a window counts (TS3).

use super::sectors::{all_sectors, sector_set};
use crate::beacon::Beacon;
use crate::block::InvalidBlock;
use crate::ledger::Ledger;
use crate::receipt::Event;
use crate::refused::Refused;
use crate::rows::{self, AccountRow, HeartbeatRow, KeptSet, ProviderRow, SectorRow, WindowRow};
use crate::state::StateRead;
use std::collections::BTreeSet;
use watt_light::heartbeat::FAULTS_MAX;
use watt_light::{ProviderNumber, SignedHeartbeat};
use watt_primitives::hash::{Domain, hash};
use watt_primitives::key::all_hold;
use watt_primitives::{AccountId, BoundedVec, NetworkId, PublicKey, SectorNumber, Window};
use watt_proofs::window::{self, beacon_element};
use watt_proofs::{Element, ProofParams, SectorSet, SetTree, Shape};

/// Hashes that one block spends on building sets of sectors again: sixteen of the largest. A provider whose set has changed in a
/// block that has no more of them comes in the next.
pub const SET_HASHES_PER_BLOCK_MAX: usize = 16 * 585;

impl Ledger<'_> {
    /// Takes the block's heartbeats, which come from these providers, in their order. One that can't count does nothing, and the block
    /// says so: whether it counts may depend on what this very block did before.
    pub(super) fn take_heartbeats(&mut self, heartbeats: &[SignedHeartbeat], providers: &[AccountId]) {
        for (heartbeat, provider) in heartbeats.iter().zip(providers) {
            self.rows.keep();
            let savepoint = self.savepoint();
            if let Err(why) = self.take_heartbeat(provider, heartbeat) {
                self.roll_back(savepoint);
                self.events.push(Event::HeartbeatIgnored {
                    provider: *provider,
                    why,
                });
            }
        }
    }

    fn take_heartbeat(&mut self, id: &AccountId, heartbeat: &SignedHeartbeat) -> Result<(), Refused> {
        let window = self.window();
        let params = self.proof_params();
        let Due {
            mut provider,
            set,
            answers,
        } = due(&self.rows, self.network(), &params, id, window, heartbeat)?;
        let left_out = left_out(&self.rows, id, provider.last_heartbeat, &set);
        let kept = self.build_set(provider.set, &set, &left_out)?;
        let state = state_after(&self.rows, self.network(), id, provider.last_heartbeat);
        self.note_waiting(id, &provider);
        self.mark_faults(id, window, &heartbeat.faults);

        provider = self.provider(id).ok_or(Refused::NotAProvider)?;
        let mut row = HeartbeatRow {
            state,
            set: kept.map_or(Element::default(), |set| set.root),
            answers,
            n_sectors: u16::try_from(set.len()).map_err(|_| Refused::Invariant)?,
            bytes: 0,
            left_out,
            faults: heartbeat.faults.clone(),
            is_proven: false,
        };
        let unpaid: BTreeSet<SectorNumber> = row.unpaid().collect();
        let paid = set.without(&unpaid);
        row.bytes = paid.iter().map(|sector| sector.size.sealed_bytes()).sum();
        provider.set = kept;
        self.forget_heartbeats(id, &provider, window);
        self.note_counted_before(&mut provider);
        provider.last_heartbeat = Some(window);
        if core::mem::take(&mut provider.is_silent) && provider.n_active > 0 {
            self.supply.n_providing = self.supply.n_providing.saturating_add(1);
        }
        self.rows.write(rows::heartbeat(id, window), &row);
        self.write_provider(id, &provider);
        self.change_window(window, |row| {
            row.n_heartbeats = row.n_heartbeats.saturating_add(1);
        });
        Ok(())
    }

    /// The set of this window: the one of the heartbeat before unless what is in it has changed since; `None` if all sectors are left
    /// out.
    fn build_set(
        &mut self,
        before: Option<KeptSet>,
        sectors: &SectorSet,
        left_out: &[SectorNumber],
    ) -> Result<Option<KeptSet>, Refused> {
        let shape = Shape::of_sectors(sectors.len());
        let sound = sectors.without(&left_out.iter().copied().collect::<BTreeSet<_>>());
        let roots: Vec<[u8; Element::LEN]> = sound.iter().map(|sector| sector.comm_r.to_bytes()).collect();
        let positions = shape.positions().to_be_bytes();
        let mut parts: Vec<&[u8]> = vec![&positions];
        parts.extend(roots.iter().map(<[u8; Element::LEN]>::as_slice));
        let digest = hash(Domain::SectorSet, self.network(), &parts);
        if let Some(before) = before.filter(|before| before.digest == digest) {
            return Ok(Some(before));
        }
        if sound.is_empty() {
            return Ok(None);
        }
        let n_hashes = SetTree::n_hashes(shape, sound.len());
        let hashes = self.set_hashes.saturating_add(n_hashes);
        if hashes > SET_HASHES_PER_BLOCK_MAX {
            return Err(Refused::SetsFull);
        }
        self.set_hashes = hashes;
        let root = SetTree::of(shape, &sound).ok_or(Refused::Invariant)?.root();
        Ok(Some(KeptSet { digest, root }))
    }

    fn mark_faults(&mut self, provider: &AccountId, window: Window, faults: &[SectorNumber]) {
        for number in faults {
            let key = rows::sector(provider, *number);
            if let Some(mut sector) = self.rows.read::<SectorRow>(&key) {
                sector.last_fault = Some(window);
                self.rows.write(key, &sector);
            }
        }
    }

    /// Only the heartbeats of this window and the one before are of use.
    fn forget_heartbeats(&mut self, id: &AccountId, provider: &ProviderRow, window: Window) {
        let Some(last) = provider.last_heartbeat else {
            return;
        };
        if last != last.previous() {
            self.rows.remove(rows::heartbeat(id, last.previous()));
        }
        if last.next() < window {
            self.rows.remove(rows::heartbeat(id, last));
        }
    }

    /// Remembers how many windows had counted before the provider's first one.
    fn note_counted_before(&self, provider: &mut ProviderRow) {
        if let (Some(from), None) = (provider.due_from, provider.counted_before) {
            let before: Option<WindowRow> = self.rows.read(&rows::window(from.previous()));
            provider.counted_before = Some(before.map_or(self.chain.windows_counted, |row| row.n_counted));
        }
    }
}

/// What the newest heartbeat, `last`, declared faulty of these sectors: the next window's set leaves it out. So nobody can choose by
/// what is declared which leaves a window asks for: its beacon is not known yet.
pub(crate) fn left_out(
    state: &(impl StateRead + ?Sized),
    provider: &AccountId,
    last: Option<Window>,
    sectors: &SectorSet,
) -> BoundedVec<SectorNumber, FAULTS_MAX> {
    let row: Option<HeartbeatRow> = last.and_then(|last| rows::read(state, &rows::heartbeat(provider, last)));
    let declared = row.map(|row| row.faults).unwrap_or_default();
    let all: BTreeSet<SectorNumber> = declared.iter().copied().collect();
    let here = sectors
        .iter()
        .map(|sector| sector.number)
        .filter(|number| all.contains(number));
    here.collect::<Vec<_>>().try_into().unwrap_or_default()
}

/// What a heartbeat for `window` rests on.
pub(crate) struct Due {
    provider: ProviderRow,
    set: SectorSet,
    answers: Element,
}

/// What the heartbeat of provider `id` for `window` rests on, if it counts in this state.
pub(crate) fn due(
    state: &(impl StateRead + ?Sized),
    network: &NetworkId,
    params: &ProofParams,
    id: &AccountId,
    window: Window,
    heartbeat: &SignedHeartbeat,
) -> Result<Due, Refused> {
    let provider: ProviderRow = rows::read(state, &rows::provider(id)).ok_or(Refused::NotAProvider)?;
    Beacon::asking(state, network, window).ok_or(Refused::WindowNotOpen { window })?;
    if state.get(&rows::heartbeat(id, window)).is_some() {
        return Err(Refused::HeartbeatTwice { window });
    }
    let set = sector_set(params, &all_sectors(state, id), window).ok_or(Refused::NoSectors { window })?;
    check_faults(&set, &heartbeat.faults)?;
    let answers = Element::from_bytes(heartbeat.response_root.0).ok_or(Refused::NotARoot)?;
    Ok(Due {
        provider,
        set,
        answers,
    })
}

/// Whose number this is, and the key that signs the heartbeats of that provider, unless it was removed.
pub(crate) fn signer_of(
    state: &(impl StateRead + ?Sized),
    number: ProviderNumber,
) -> Option<(AccountId, PublicKey)> {
    let id: AccountId = rows::read(state, &rows::provider_number(number))?;
    let provider: ProviderRow = rows::read(state, &rows::provider(&id))?;
    let account: AccountRow = rows::read(state, &rows::account(&id))?;
    Some((id, account.live_key(provider.heartbeat_key)?.key))
}

/// Whose heartbeats these are, if all are signed for `window` with the keys that the state below the block says.
pub(super) fn signed_by(
    below: &impl StateRead,
    network: &NetworkId,
    window: Window,
    heartbeats: &[SignedHeartbeat],
) -> Result<Vec<AccountId>, InvalidBlock> {
    let (mut providers, mut checks) = (Vec::new(), Vec::new());
    for heartbeat in heartbeats {
        let provider = heartbeat.provider;
        let (id, key) = signer_of(below, provider).ok_or(InvalidBlock::Heartbeat { provider })?;
        checks.push(heartbeat.signature_check(id, window, key, network));
        providers.push(id);
    }
    if all_hold(&checks) {
        return Ok(providers);
    }
    let bad = checks.iter().zip(heartbeats).find(|(check, _)| !check.holds());
    let (_, bad) = bad.ok_or(InvalidBlock::Signature)?;
    Err(InvalidBlock::Heartbeat {
        provider: bad.provider,
    })
}

fn check_faults(set: &SectorSet, faults: &[SectorNumber]) -> Result<(), Refused> {
    let mut known = set.iter().map(|sector| sector.number);
    // Both lists ascend, so each declared number is found further on in the set, or not at all.
    let is_subsequence = faults.iter().all(|fault| known.any(|number| number == *fault));
    if is_subsequence {
        Ok(())
    } else {
        Err(Refused::Faults)
    }
}

/// What the ledger knows of the window of a heartbeat. A beacon that it does not remember any more counts as zero: that of a window
/// which can't be proven any more either.
pub(crate) fn answered_window(
    state: &(impl StateRead + ?Sized),
    network: &NetworkId,
    window: Window,
    heartbeat: &HeartbeatRow,
) -> window::Window {
    let beacon = |window| {
        Beacon::asking(state, network, window).map_or(Element::default(), |beacon| {
            beacon_element(network, beacon.value())
        })
    };
    window::Window {
        set: heartbeat.set,
        beacon: beacon(window),
        answers: heartbeat.answers,
        next_beacon: beacon(window.next()),
    }
}

/// A provider's state after its newest heartbeat, `last`, whether that window was proven or not (TS3): the one place where the state
/// moves on. It is asked for by the next heartbeat, which keeps it, and by who makes that one; nothing else stores it.
pub(crate) fn state_after(
    state: &(impl StateRead + ?Sized),
    network: &NetworkId,
    provider: &AccountId,
    last: Option<Window>,
) -> Element {
    let heartbeat = |window| {
        Some((
            window,
            rows::read::<HeartbeatRow>(state, &rows::heartbeat(provider, window))?,
        ))
    };
    last.and_then(heartbeat).map_or_else(
        || window::initial_state(network, provider),
        |(window, row)| answered_window(state, network, window, &row).next_state(row.state),
    )
}
