//! Being there, window after window, and the window's beacon (`docs/spec/ledger.md` §14; TC13, TC20).

use super::Actor;
use crate::beacon::Beacon;
use crate::duty::{self, beacon_windows_kept, place_in_term, reveal_blocks};
use crate::ledger::{Ledger, window_of};
use crate::receipt::Done;
use crate::refused::Refused;
use crate::rows::{self, AttendanceRow, DutyWindowRow, Revealed, RevealsRow, VotingKeyRow};
use watt_light::Backbone;
use watt_light::duty::wrap;
use watt_primitives::{AccountId, BlockHeight, BoundedVec, Hash, Window};

impl Ledger<'_> {
    pub(super) fn attend(
        &mut self,
        actor: &Actor,
        window: Window,
        header: Hash,
        knows: u32,
        reveal: Option<Hash>,
    ) -> Result<Done, Refused> {
        let (person, current) = (&actor.account, self.window());
        let (term, at) = place_in_term(&self.rules, window);
        // From then on the term's attendance is counted.
        let is_late = self.height() >= duty::middle(&self.rules, term.next());
        if window >= current || is_late {
            return Err(Refused::WrongWindow { window, current });
        }
        if !duty::is_bound(&self.rows, person, term) {
            return Err(Refused::NoDuty);
        }
        let row: DutyWindowRow = self
            .rows
            .read(&rows::duty_window(window))
            .ok_or(Refused::WrongWindow { window, current })?;
        if row.header != Some(header) {
            return Err(Refused::WrongHeader { window });
        }
        let key = rows::attendance(term, person);
        let mut attendance: AttendanceRow = self.rows.read(&key).unwrap_or_else(AttendanceRow::none);
        if attendance.has(at) {
            return Err(Refused::AttendedTwice { window });
        }
        if !attendance.note(at) {
            return Err(Refused::Invariant);
        }
        attendance.knows = knows;
        self.rows.write(key, &attendance);
        let is_revealed = match reveal {
            Some(layer) if row.beacon.is_none() => self.reveal(person, window, layer)?,
            Some(_) | None => false,
        };
        Ok(Done::Attended { window, is_revealed })
    }

    /// Takes a layer for the beacon of the window before this one, if `person` votes in its term.
    fn reveal(&mut self, person: &AccountId, window: Window, layer: Hash) -> Result<bool, Refused> {
        let (term, at) = place_in_term(&self.rules, window);
        let backbone: Option<Backbone> = self.rows.read(&rows::backbone(term));
        let is_entry = backbone.is_some_and(|backbone| backbone.of_account(person).is_some());
        let key = rows::voting_key(term, person);
        let Some(mut row) = self.rows.read::<VotingKeyRow>(&key).filter(|_| is_entry) else {
            return Ok(false);
        };
        let n_peeled = at.saturating_add(1);
        if wrap(self.network(), layer, n_peeled.saturating_sub(row.n_peeled)) != row.onion {
            return Err(Refused::WrongLayer { window });
        }
        (row.onion, row.n_peeled) = (layer, n_peeled);
        self.rows.write(key, &row);
        let mut layers = self.revealed(window).into_inner();
        let account = *person;
        let place = layers.partition_point(|one| one.account < account);
        layers.insert(place, Revealed { account, layer });
        let layers = BoundedVec::new(layers).map_err(|_| Refused::Invariant)?;
        self.rows
            .write(rows::REVEALS.to_vec(), &RevealsRow { window, layers });
        Ok(true)
    }

    fn revealed(&self, window: Window) -> BoundedVec<Revealed, { watt_light::backbone::SEATS_MAX }> {
        let row: Option<RevealsRow> = self.rows.read(rows::REVEALS);
        row.filter(|row| row.window == window)
            .map_or_else(BoundedVec::empty, |row| row.layers)
    }

    /// Remembers the header below this block, if its window asks for it.
    pub(super) fn note_header(&mut self, header: Hash) {
        let below = BlockHeight(self.height().0.saturating_sub(1));
        let key = rows::duty_window(window_of(&self.rules, below));
        if let Some(mut row) = self.rows.read::<DutyWindowRow>(&key)
            && row.asked == below
        {
            row.header = Some(header);
            self.rows.write(key, &row);
        }
    }

    /// Makes the beacon of the window before, if this block is the last whose layers count, and draws which header this window asks
    /// for. After all transactions.
    pub(super) fn make_beacon(&mut self) {
        let (window, first) = (self.window(), self.first_height_of(self.window()));
        let n_blocks = reveal_blocks(&self.rules);
        if self.height() != first.plus(n_blocks.saturating_sub(1)) {
            return;
        }
        let beacon = if window == Window(0) {
            Beacon::first(self.network())
        } else {
            self.beacon_of_layers(window.previous())
        };
        let n_left = self.rules.parameters.window_slots.saturating_sub(n_blocks);
        let row = DutyWindowRow {
            asked: first.plus(n_blocks).plus(beacon.asked_height(window, n_left)),
            header: None,
            beacon: None,
            is_filled: false,
        };
        self.rows.write(rows::duty_window(window), &row);
        if let Some(forgotten) = window.0.checked_sub(beacon_windows_kept(&self.rules)) {
            self.rows.remove(rows::duty_window(Window(forgotten)));
        }
    }

    fn beacon_of_layers(&mut self, window: Window) -> Beacon {
        let (term, _) = place_in_term(&self.rules, window);
        let layers = self.revealed(window);
        self.rows.remove(rows::REVEALS.to_vec());
        let backbone: Option<Backbone> = self.rows.read(&rows::backbone(term));
        let (mut who, mut in_order) = (Vec::new(), Vec::new());
        let entries = backbone.iter().flat_map(Backbone::entries);
        for (place, entry) in entries.enumerate() {
            let revealed = layers.iter().find(|one| one.account == entry.account);
            if let Some(revealed) = revealed {
                set_bit(&mut who, place);
                in_order.push(revealed.layer);
            } else {
                let key = rows::voting_key(term, &entry.account);
                if let Some(mut row) = self.rows.read::<VotingKeyRow>(&key) {
                    row.n_missed = row.n_missed.saturating_add(1);
                    self.rows.write(key, &row);
                }
            }
        }
        let n_faulty_max = backbone.as_ref().map_or(0, Backbone::n_faulty_max);
        let is_filled = in_order.len() <= n_faulty_max;
        let filler: Option<Hash> = self.rows.read(rows::FILLER).filter(|_| is_filled);
        let network = *self.network();
        let before = Beacon::asking(&self.rows, &network, window).unwrap_or_else(|| Beacon::first(&network));
        let beacon = Beacon::of_window(&network, &before, window, &who, &in_order, filler.as_ref());
        let key = rows::duty_window(window);
        if let Some(mut row) = self.rows.read::<DutyWindowRow>(&key) {
            (row.beacon, row.is_filled) = (Some(*beacon.value()), is_filled);
            self.rows.write(key, &row);
        }
        beacon
    }
}

fn set_bit(bits: &mut Vec<u8>, at: usize) {
    let (byte, bit) = (at / 8, u32::try_from(at % 8).unwrap_or(0));
    bits.resize(bits.len().max(byte.saturating_add(1)), 0);
    if let Some(byte) = bits.get_mut(byte) {
        *byte |= 1u8.checked_shl(bit).unwrap_or(0);
    }
}
