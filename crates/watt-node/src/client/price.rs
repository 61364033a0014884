//! What a put may cost: the offers that fit, the highest price to bid, the escrow that this locks.

use crate::api::types::ProviderInfo;
use crate::error::{CommandError, ErrorKind};
use crate::ui::{bytes_text, duration_text};
use watt_ledger::NetworkParameters;
use watt_ledger::apply::reservation_ms_max;
use watt_market::order::escrow_needed;
use watt_primitives::class::Class;
use watt_primitives::terms::BundleTerms;
use watt_primitives::{Amount, BoundedVec, Cid, Hash};

/// What is bid above the dearest offer that is needed, as a fraction: others may be taken before the match.
const HEADROOM: (u128, u128) = (5, 4);

/// One bundle to be placed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) class: Class,
    pub(super) slot_bytes: u64,
    pub(super) term_ms: u64,
}

impl Wanted {
    /// The most to bid: what the owner says, else the `n`-th cheapest fitting offer with headroom.
    pub(super) fn price_max(
        &self,
        providers: &[ProviderInfo],
        excluded: &[String],
        limit: Option<Amount>,
    ) -> Result<Amount, CommandError> {
        let mut prices: Vec<Amount> = providers
            .iter()
            .filter(|provider| !excluded.contains(&provider.address))
            .filter_map(|provider| self.price_of(provider))
            .collect();
        prices.sort_unstable();
        let needed = usize::from(self.class.n());
        let affordable = prices
            .iter()
            .filter(|price| limit.is_none_or(|limit| **price <= limit))
            .count();
        if affordable < needed {
            let left_out = providers
                .iter()
                .filter(|provider| excluded.contains(&provider.address))
                .filter(|provider| self.price_of(provider).is_some());
            let left_out = left_out.count();
            return Err(self.too_few(affordable, left_out, prices.get(needed - 1).copied(), limit));
        }
        let dearest = prices.get(needed - 1).copied().unwrap_or_default();
        let with_headroom = dearest.mul_ratio_floor(HEADROOM.0, HEADROOM.1).unwrap_or(dearest);
        Ok(limit.unwrap_or(with_headroom))
    }

    /// Price of a provider's offer if it fits.
    fn price_of(&self, provider: &ProviderInfo) -> Option<Amount> {
        let ask = provider.ask.as_ref()?;
        let free_bytes = provider.capacity_bytes.saturating_sub(provider.used_bytes);
        let fits = (ask.slot_bytes_min..=ask.slot_bytes_max).contains(&self.slot_bytes)
            && self.term_ms <= ask.term_ms_max
            && free_bytes >= self.slot_bytes;
        fits.then_some(ask.price)
    }

    /// How many of these offers could hold a share at `price_max`.
    pub(super) fn n_fitting(&self, providers: &[ProviderInfo], price_max: Amount) -> usize {
        let prices = providers.iter().filter_map(|provider| self.price_of(provider));
        prices.filter(|price| *price <= price_max).count()
    }

    fn too_few(
        &self,
        fitting: usize,
        left_out: usize,
        price: Option<Amount>,
        limit: Option<Amount>,
    ) -> CommandError {
        let message = format!(
            "{fitting} offers fit, {} are needed: shares of {} for {}{}{}",
            self.class.n(),
            bytes_text(self.slot_bytes),
            duration_text(self.term_ms),
            limit
                .map(|limit| format!(" at no more than {limit} WATT per 10^9 bytes and day"))
                .unwrap_or_default(),
            match left_out {
                0 => String::new(),
                n => format!("; {n} more are left out, as their providers did not take their share"),
            },
        );
        let hint = match price {
            Some(price) if limit.is_some() => format!("bid more: --price-max {price} reaches enough offers"),
            Some(_) | None if left_out > 0 => {
                "bring these providers back, or start more; then run the same command again: it asks all of them"
                    .to_owned()
            }
            Some(_) | None => "try again later, try a shorter --term, or start more providers".to_owned(),
        };
        CommandError::new(ErrorKind::Temporary, message, hint)
    }

    /// The most that the deal can cost, which the ledger wants locked.
    pub(super) fn escrow(
        &self,
        parameters: &NetworkParameters,
        price_max: Amount,
    ) -> Result<Amount, CommandError> {
        let terms = BundleTerms {
            class: self.class,
            header: Cid(Hash::ZERO),
            manifest: Cid(Hash::ZERO),
            slot_bytes: self.slot_bytes,
            slot_roots: BoundedVec::empty(),
        };
        let reservation_ms = reservation_ms_max(parameters, &terms);
        escrow_needed(
            self.class,
            self.slot_bytes,
            price_max,
            self.term_ms,
            reservation_ms,
        )
        .ok_or_else(|| {
            let message = "storing this would cost more than all the WATT there is";
            CommandError::new(
                ErrorKind::InsufficientFunds,
                message,
                "lower --price-max or --term",
            )
        })
    }
}

/// Says that an account can't lock what is needed, in numbers.
pub(super) fn insufficient(
    account: &str,
    address: &str,
    balance: Amount,
    needed: Amount,
    bytes: u64,
    term_ms: u64,
) -> CommandError {
    let message = format!(
        "storing {} for {} locks up to {needed} WATT, the account {account} has {balance}",
        bytes_text(bytes),
        duration_text(term_ms),
    );
    let missing = needed.saturating_sub(balance);
    let hint =
        format!("send it {missing} WATT (watt account send {address} {missing}), or choose a shorter --term");
    CommandError::new(ErrorKind::InsufficientFunds, message, hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::types::AskInfo;
    use watt_market::order::check_bid;

    const DAY: u64 = 86_400_000;
    const WANTED: Wanted = Wanted {
        class: Class::Devnet,
        slot_bytes: 32 << 14,
        term_ms: DAY,
    };

    fn provider(index: u8, price: u64) -> ProviderInfo {
        ProviderInfo {
            address: format!("twatt1{index}"),
            number: u32::from(index),
            capacity_bytes: 1 << 30,
            used_bytes: 0,
            person: String::new(),
            peer_id: String::new(),
            addresses: Vec::new(),
            device: watt_primitives::terms::Device::AlwaysOn,
            slots_lost: 0,
            n_disputed: 0,
            ask: Some(AskInfo {
                price: Amount(price),
                slot_bytes_min: 1,
                slot_bytes_max: 1 << 30,
                term_ms_max: 10 * DAY,
                hot: true,
            }),
            proven_ms: 0,
            windows_failed: 0,
            withheld_ms: 0,
            owed_ms: 0,
            n_sectors_active: 0,
            windows_proven: 0,
            windows_missed: 0,
            proofs_failed: 0,
            last_proven_window: None,
            last_proven_at: 0,
        }
    }

    fn parameters() -> NetworkParameters {
        NetworkParameters {
            slot_ms: 1_000,
            window_slots: 8,
            term_windows: 144,
            settlement_windows: 8,
            failed_window_cost: 9,
            block_transactions_max: 5_000,
            block_bytes_max: 3 << 20,
            certify_slots: 120,
            certify_slots_per_gb: 240,
            commit_slots: 120,
            dispute_slots: 60,
            grace_windows: watt_ledger::genesis::GRACE_WINDOWS_MAIN,
            power_unit_bytes: 1 << 20,
            standby_power_bytes: 0,
            insecure_proofs: true,
            porep_committee: 0,
            audit_windows: 0,
            restart_windows: watt_ledger::genesis::RESTART_WINDOWS_MAIN,
        }
    }

    /// The bid covers the dearest offer that may be needed, and a fifth more is left for others that are quicker. Covers: D1.
    #[test]
    fn the_price_reaches_as_many_offers_as_are_needed() {
        let providers: Vec<_> = (0..12)
            .map(|index| provider(index, 100 + u64::from(index)))
            .collect();
        assert_eq!(
            WANTED.price_max(&providers, &[], None).unwrap(),
            Amount(109 * 5 / 4)
        );
        let excluded = ["twatt10".to_owned(), "twatt11".to_owned()];
        assert_eq!(
            WANTED.price_max(&providers, &excluded, None).unwrap(),
            Amount(111 * 5 / 4)
        );
        assert_eq!(
            WANTED.price_max(&providers, &[], Some(Amount(110))).unwrap(),
            Amount(110)
        );
    }

    /// Too few offers are said in numbers before anything is locked, with the price that would do. Covers: D1.
    #[test]
    fn too_few_offers_are_refused_in_numbers() {
        let providers: Vec<_> = (0..12)
            .map(|index| provider(index, 100 + u64::from(index)))
            .collect();
        let error = WANTED.price_max(&providers, &[], Some(Amount(105))).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Temporary);
        assert!(
            error.message.starts_with("6 offers fit, 10 are needed"),
            "{}",
            error.message
        );
        assert_eq!(
            error.hint,
            "bid more: --price-max 0.00000109 reaches enough offers"
        );
        let error = WANTED.price_max(&providers[..9], &[], None).unwrap_err();
        assert!(
            error.message.starts_with("9 offers fit, 10 are needed"),
            "{}",
            error.message
        );
    }

    /// Providers that did not take their share are no riddle: how many they are is said, and that they get another chance. Covers: D1.
    #[test]
    fn offers_that_were_left_out_are_said() {
        let mut providers: Vec<_> = (0..12).map(|index| provider(index, 100)).collect();
        providers[2].ask = None;
        let excluded: Vec<String> = (0..5).map(|index| format!("twatt1{index}")).collect();
        let error = WANTED.price_max(&providers, &excluded, None).unwrap_err();
        let expected = "7 offers fit, 10 are needed: shares of 512.0 KiB for 1 d 0 h; 4 more are left out, as their providers did not take their share";
        assert_eq!(error.message, expected);
        assert!(
            error.hint.contains("run the same command again"),
            "{}",
            error.hint
        );
        assert_eq!(WANTED.n_fitting(&providers, Amount(100)), 11);
        assert_eq!(WANTED.n_fitting(&providers, Amount(99)), 0);
    }

    /// The escrow is the least that the ledger takes. Covers: D2, D3.
    #[test]
    fn the_escrow_is_exactly_what_the_ledger_asks() {
        let price = Amount(123_456_789);
        let escrow = WANTED.escrow(&parameters(), price).unwrap();
        let terms = BundleTerms {
            class: WANTED.class,
            header: Cid(Hash::ZERO),
            manifest: Cid(Hash::ZERO),
            slot_bytes: WANTED.slot_bytes,
            slot_roots: BoundedVec::new(vec![Hash::ZERO; 10]).unwrap(),
        };
        let reservation = reservation_ms_max(&parameters(), &terms);
        let check = |escrow| check_bid(&terms, price, escrow, WANTED.term_ms, reservation, false);
        assert_eq!(check(escrow), Ok(()));
        assert!(check(escrow.saturating_sub(Amount(1))).is_err());
    }

    /// Whoever can't pay learns how much is missing. Covers: D2.
    #[test]
    fn missing_money_is_said_in_numbers() {
        let error = insufficient(
            "me",
            "twatt1x",
            Amount(100_000_000),
            Amount(350_000_000),
            64 << 20,
            DAY,
        );
        assert_eq!(error.kind, ErrorKind::InsufficientFunds);
        assert_eq!(
            error.message,
            "storing 64.0 MiB for 1 d 0 h locks up to 3.5 WATT, the account me has 1"
        );
        assert!(error.hint.contains("2.5 WATT"));
    }
}
