//! What a block works on: rows above the state below, the rules, the time, and the only functions that move money.

use crate::overlay::{Mark, Overlay};
use crate::receipt::Event;
use crate::refused::Refused;
use crate::rows::{AccountKind, AccountRow, ChainRow, RulesRow, SupplyRow};
use watt_primitives::{AccountId, Amount, BlockHeight, LedgerTime, NetworkId, Window};

/// The state while a block is applied.
pub(crate) struct Ledger<'a> {
    pub(crate) rows: Overlay<'a>,
    /// Of the rules that the block being applied follows: whatever changed with one is a `match` on it.
    pub(crate) version: u32,
    pub(crate) rules: RulesRow,
    /// Already that of the block being applied.
    pub(crate) chain: ChainRow,
    pub(crate) supply: SupplyRow,
    /// Whether a transaction of this block has removed a key, so that later ones have to look whether it was theirs.
    pub(crate) has_removed_keys: bool,
    /// Hashes that sets of sectors have taken in this block, those of heartbeats that did not count included.
    pub(crate) set_hashes: usize,
    pub(crate) events: Vec<Event>,
}

/// A point to which a failed transaction is undone.
#[derive(Clone, Copy)]
pub(crate) struct Savepoint {
    mark: Mark,
    supply: SupplyRow,
    n_events: usize,
}

/// Where money lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purse {
    /// A row's balance.
    Account(AccountId),
    /// Locked for bids and deals; whose it is stands in their rows.
    Escrow,
    /// Collected fees.
    ProtocolWallet,
}

/// The protocol wallet's id: no key hashes to it, and its row's kind takes none.
pub const PROTOCOL_WALLET: AccountId = AccountId(*b"watt/protocol-wallet");

impl Ledger<'_> {
    pub(crate) const fn network(&self) -> &NetworkId {
        &self.rules.network
    }

    pub(crate) const fn height(&self) -> BlockHeight {
        self.chain.height
    }

    pub(crate) const fn now(&self) -> LedgerTime {
        self.chain.ledger_time()
    }

    pub(crate) fn window(&self) -> Window {
        window_of(&self.rules, self.chain.height)
    }

    pub(crate) fn first_height_of(&self, window: Window) -> BlockHeight {
        BlockHeight(window.0.saturating_mul(self.rules.parameters.window_slots))
    }

    pub(crate) fn savepoint(&mut self) -> Savepoint {
        Savepoint {
            mark: self.rows.mark(),
            supply: self.supply,
            n_events: self.events.len(),
        }
    }

    pub(crate) fn roll_back(&mut self, to: Savepoint) {
        self.rows.roll_back(to.mark);
        self.supply = to.supply;
        self.events.truncate(to.n_events);
    }

    pub(crate) fn account(&self, id: &AccountId) -> Option<AccountRow> {
        self.rows.account(id)
    }

    pub(crate) fn write_account(&mut self, id: &AccountId, row: AccountRow) {
        self.rows.write_account(id, row);
    }

    /// The only place where money moves: what leaves one purse arrives in the other.
    pub(crate) fn move_money(&mut self, from: Purse, to: Purse, amount: Amount) -> Result<(), Refused> {
        if amount == Amount::ZERO {
            return Ok(());
        }
        self.take(from, amount)?;
        self.give(to, amount)
    }

    fn take(&mut self, from: Purse, amount: Amount) -> Result<(), Refused> {
        match from {
            Purse::Account(id) => {
                let none = Refused::Balance {
                    needed: amount,
                    balance: Amount::ZERO,
                };
                let mut row = self.account(&id).ok_or(none)?;
                if row.kind == AccountKind::ProtocolWallet {
                    return Err(Refused::NotKeyed);
                }
                row.balance = row.balance.checked_sub(amount).ok_or(Refused::Balance {
                    needed: amount,
                    balance: row.balance,
                })?;
                self.write_account(&id, row);
                lower(&mut self.supply.in_accounts, amount)
            }
            Purse::Escrow => lower(&mut self.supply.in_escrow, amount),
            Purse::ProtocolWallet => {
                let mut row = self.account(&PROTOCOL_WALLET).ok_or(Refused::Invariant)?;
                lower(&mut row.balance, amount)?;
                self.write_account(&PROTOCOL_WALLET, row);
                lower(&mut self.supply.in_protocol_wallet, amount)
            }
        }
    }

    fn give(&mut self, to: Purse, amount: Amount) -> Result<(), Refused> {
        match to {
            Purse::Account(PROTOCOL_WALLET) => Err(Refused::ToProtocolWallet),
            Purse::Account(id) => {
                let new = AccountRow::new(AccountKind::Keyed);
                let mut row = self.account(&id).unwrap_or(new);
                raise(&mut row.balance, amount)?;
                self.write_account(&id, row);
                raise(&mut self.supply.in_accounts, amount)
            }
            Purse::Escrow => raise(&mut self.supply.in_escrow, amount),
            Purse::ProtocolWallet => {
                let new = AccountRow::new(AccountKind::ProtocolWallet);
                let mut row = self.account(&PROTOCOL_WALLET).unwrap_or(new);
                raise(&mut row.balance, amount)?;
                self.write_account(&PROTOCOL_WALLET, row);
                raise(&mut self.supply.in_protocol_wallet, amount)
            }
        }
    }
}

/// The window that a height lies in.
pub(crate) fn window_of(rules: &RulesRow, height: BlockHeight) -> Window {
    Window(height.0.checked_div(rules.parameters.window_slots).unwrap_or(0))
}

fn lower(total: &mut Amount, amount: Amount) -> Result<(), Refused> {
    *total = total.checked_sub(amount).ok_or(Refused::Invariant)?;
    Ok(())
}

fn raise(total: &mut Amount, amount: Amount) -> Result<(), Refused> {
    *total = total.checked_add(amount).ok_or(Refused::Invariant)?;
    Ok(())
}
