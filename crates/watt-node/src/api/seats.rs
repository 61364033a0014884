//! Who holds the seats of the backbone, who stands for one, and how it is about somebody's seat: as the API shows it.

use super::facts::Facts;
use super::types::node_hex;
use serde::{Deserialize, Serialize};
use watt_ledger::query::{self, Head};
use watt_ledger::rows::{SeatsRow, StandingRow};
use watt_light::duty::KEYS_AHEAD_MAX;
use watt_primitives::{AccountId, LedgerTime, NodeId, Term};
use watt_trust::backbone::{AWAY_TERMS, Attendance, Seat, Why};
use watt_trust::standby::{NOTICE_TERMS_MIN, SHADOW_TERMS_MIN, VOUCH_MS_MIN};

/// The seats of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeatsInfo {
    /// The running term.
    pub term: u64,
    /// Its first block.
    pub first_height: u64,
    /// The first block of the next one.
    pub next_height: u64,
    /// Who votes in the running term.
    pub voters: Vec<VoterInfo>,
    /// The seats as they are decided furthest ahead; empty in a network whose people don't change.
    pub seats: Vec<SeatEntry>,
    /// The term for which `seats` are decided.
    pub seats_term: u64,
    /// What is planned to change with the term after, provisional.
    pub plan: Vec<PlannedChange>,
    /// Everybody who stands for a seat.
    pub standing: Vec<StandingInfo>,
}

/// Somebody who votes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoterInfo {
    /// Who.
    pub address: String,
    /// With which key.
    #[serde(with = "node_hex")]
    pub node: NodeId,
    /// Windows of the running term in which they were there.
    pub attended: u32,
    /// Of so many that are over and could be attended.
    pub windows: u32,
    /// Bytes that their providers proved in the term before, on average of its windows.
    pub power_bytes: u64,
    /// How often they lead, in thousandths of who leads most.
    pub leads_permille: u16,
}

/// A seat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeatEntry {
    /// Whose it is.
    pub holder: String,
    /// First term of theirs.
    pub since: u64,
    /// Who votes in their place while they are silent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub substitute: Option<String>,
    /// First term without the holder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub away_since: Option<u64>,
    /// The holder asked to leave.
    pub is_leaving: bool,
}

/// A seat that is to change hands, or a new one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedChange {
    /// Who leaves; nobody, if the backbone grows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaves: Option<String>,
    /// Who comes.
    pub enters: String,
    /// `faulty`, `silent`, `back`, `time-over` or `growth`.
    pub why: String,
}

/// Somebody's offer to hold a seat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandingInfo {
    /// Who.
    pub address: String,
    /// In which term they offered it.
    pub since: u64,
    /// Since which term their rank is among the best.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ranked_since: Option<u64>,
    /// Terms of a validator's work in shadow.
    pub shadow_terms: u64,
    /// So many are needed.
    pub shadow_terms_needed: u64,
    /// Since which term they stand by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listed_since: Option<u64>,
    /// From which term on they may be drawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drawn_from: Option<u64>,
}

/// How it is about somebody's seat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeatInfo {
    /// Whose.
    pub address: String,
    /// The running term.
    pub term: u64,
    /// One sentence.
    pub summary: String,
    /// What to do, if there is something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Whether they vote in the running term.
    pub is_voting: bool,
    /// Their seat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seat: Option<SeatEntry>,
    /// Their offer to hold one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standing: Option<StandingInfo>,
    /// Who vouches for them.
    pub vouchers: Vec<VoucherInfo>,
    /// Terms for which a voting key is registered.
    pub keys: Vec<u64>,
    /// Terms for which one can be registered and is missing; empty for whoever has no duties.
    pub keys_missing: Vec<u64>,
    /// Windows of the running term in which they were there.
    pub attended: u32,
    /// Of so many that are over and could be attended.
    pub windows: u32,
    /// Bytes that their providers proved in the term before, on average of its windows.
    pub power_bytes: u64,
    /// Bytes to prove in a term, for it to count as work in shadow.
    pub power_bytes_needed: u64,
    /// Whether a cold key is registered.
    pub has_cold_key: bool,
    /// There is evidence against them, and they get no seat before this term.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub struck_off_until: Option<u64>,
}

/// Somebody who vouches for a candidate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoucherInfo {
    /// Who.
    pub address: String,
    /// Since when they have the candidate in their circle, in milliseconds of ledger time; absent if they don't.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trusts_since: Option<u64>,
    /// From when on that is long enough, in milliseconds of ledger time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts_from: Option<u64>,
}

impl Facts<'_> {
    /// All seats; `None` if the state is no ledger.
    pub(super) fn seats(&self) -> Option<SeatsInfo> {
        let head = query::head(self.state)?;
        let (terms, term) = (head.rules.terms(), self.running_term(&head));
        let (row, weights) = (query::seats(self.state), query::leader_weights(self.state));
        let voters = query::backbone_of_term(self.state, term)?;
        let voters = voters.entries().iter().map(|entry| {
            let there = self.attendance(&head, term, &entry.account);
            VoterInfo {
                address: self.address(&entry.account),
                node: entry.key,
                attended: there.attended,
                windows: there.expected,
                power_bytes: self.power(&head, term, &entry.account),
                leads_permille: weights
                    .iter()
                    .find(|(key, _)| *key == entry.key)
                    .map_or(1_000, |(_, weight)| permille(*weight)),
            }
        });
        let seats = row.iter().flat_map(|row| {
            let all = row.backbone.seats().iter();
            all.map(|seat| self.seat_entry(row, seat))
        });
        Some(SeatsInfo {
            term: term.0,
            first_height: terms.first_height(term).0,
            next_height: terms.first_height(term.next()).0,
            voters: voters.collect(),
            seats: seats.collect(),
            seats_term: row.as_ref().map_or(term, |row| row.term).0,
            plan: row.iter().flat_map(|row| self.planned(row)).collect(),
            standing: query::all_standing(self.state)
                .iter()
                .map(|(person, row)| self.standing_info(person, row))
                .collect(),
        })
    }

    /// How it is about the seat of `person`; `None` if the state is no ledger.
    pub(super) fn seat(&self, person: &AccountId) -> Option<SeatInfo> {
        let head = query::head(self.state)?;
        let term = self.running_term(&head);
        let row = query::seats(self.state);
        let seat = row.as_ref().and_then(|row| {
            let is_of = |seat: &&Seat| seat.holder == *person || seat.voter() == *person;
            Some(self.seat_entry(row, row.backbone.seats().iter().find(is_of)?))
        });
        let standing = query::standing(self.state, person);
        let vouchers = standing.iter().flat_map(|row| row.vouchers.iter());
        let duties = query::duties(self.state, person);
        let keys_from = (term.0..).take(KEYS_AHEAD_MAX.saturating_add(1));
        let has_key = |term: &u64| query::voting_key(self.state, Term(*term), person).is_some();
        let there = self.attendance(&head, term, person);
        let backbone = query::backbone_of_term(self.state, term);
        let mut info = SeatInfo {
            address: self.address(person),
            term: term.0,
            summary: String::new(),
            next: None,
            is_voting: backbone.is_some_and(|all| all.of_account(person).is_some()),
            seat,
            standing: standing.as_ref().map(|row| self.standing_info(person, row)),
            vouchers: vouchers
                .map(|voucher| self.voucher_info(voucher, person, head.ledger_time))
                .collect(),
            keys: keys_from.filter(has_key).collect(),
            keys_missing: duties
                .iter()
                .flat_map(|duties| duties.keys_missing.iter().map(|term| term.0))
                .collect(),
            attended: there.attended,
            windows: there.expected,
            power_bytes: self.power(&head, term, person),
            power_bytes_needed: head.rules.parameters.standby_power_bytes,
            has_cold_key: query::cold_key(self.state, person).is_some(),
            struck_off_until: query::struck_off_until(self.state, person, term).map(|again| again.0),
        };
        (info.summary, info.next) = info.in_words(row.is_some());
        Some(info)
    }

    fn running_term(&self, head: &Head) -> Term {
        query::term_of_height(&head.rules, head.chain.height)
    }

    /// In how many windows of the running `term` somebody was there, of those that they had a whole window to attend.
    fn attendance(&self, head: &Head, term: Term, person: &AccountId) -> Attendance {
        let first = term.0.saturating_mul(head.rules.parameters.term_windows);
        let n_over = head.window.0.saturating_sub(first).saturating_sub(1);
        let attended = query::attendance(self.state, term, person).n_attended(n_over);
        let count = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        Attendance {
            expected: count(n_over),
            attended: count(attended),
        }
    }

    /// What somebody's providers proved in the term before `term`.
    fn power(&self, head: &Head, term: Term, person: &AccountId) -> u64 {
        let before = term.0.checked_sub(1).map(Term);
        before.map_or(0, |before| {
            query::power_bytes(self.state, &head.rules, person, before)
        })
    }

    fn seat_entry(&self, row: &SeatsRow, seat: &Seat) -> SeatEntry {
        SeatEntry {
            holder: self.address(&seat.holder),
            since: seat.since.0,
            substitute: seat.away.map(|away| self.address(&away.substitute)),
            away_since: seat.away.map(|away| away.since.0),
            is_leaving: row.leaving.contains(&seat.holder),
        }
    }

    fn planned(&self, row: &SeatsRow) -> Vec<PlannedChange> {
        let plan = row.plan.clone().unwrap_or_default();
        let replaced = plan.replacements.iter().map(|change| PlannedChange {
            leaves: Some(self.address(&change.leaves)),
            enters: self.address(&change.enters),
            why: match change.why {
                Why::Faulty => "faulty",
                Why::Silent => "silent",
                Why::Back => "back",
                Why::TimeOver => "time-over",
            }
            .to_owned(),
        });
        let grown = plan.growth.iter().map(|enters| PlannedChange {
            leaves: None,
            enters: self.address(enters),
            why: "growth".to_owned(),
        });
        replaced.chain(grown).collect()
    }

    fn standing_info(&self, person: &AccountId, row: &StandingRow) -> StandingInfo {
        StandingInfo {
            address: self.address(person),
            since: row.since.0,
            ranked_since: row.ranked_since.map(|term| term.0),
            shadow_terms: row.shadow_terms,
            shadow_terms_needed: SHADOW_TERMS_MIN,
            listed_since: row.listed_since.map(|term| term.0),
            drawn_from: row.listed_since.map(|term| term.plus(NOTICE_TERMS_MIN).0),
        }
    }

    fn voucher_info(&self, voucher: &AccountId, person: &AccountId, now: LedgerTime) -> VoucherInfo {
        let circle = query::circle(self.state, voucher);
        let since = circle
            .live(now)
            .find(|edge| edge.to == *person)
            .map(|edge| edge.since);
        VoucherInfo {
            address: self.address(voucher),
            trusts_since: since.map(|since| since.0),
            counts_from: since.map(|since| since.plus(VOUCH_MS_MIN).0),
        }
    }
}

/// A weight for nomination in thousandths of the full one.
fn permille(weight: u64) -> u16 {
    let scaled = u128::from(weight).saturating_mul(1_000) >> 64;
    // The full weight is one below 2^64, and so are its parts.
    u16::try_from(scaled.saturating_add(1)).unwrap_or(1_000)
}

impl SeatInfo {
    /// The state in a sentence, and the next step.
    fn in_words(&self, has_elections: bool) -> (String, Option<String>) {
        let told = |summary: String, next: Option<&str>| (summary, next.map(str::to_owned));
        let keep_running = "keep the node running, with node.seat_account_key naming this account's key";
        if let Some(again) = self.struck_off_until {
            let summary = format!(
                "there is evidence that this account signed two contradicting things: no seat before term {again}"
            );
            return told(summary, None);
        }
        if let Some(seat) = &self.seat {
            return self.seat_in_words(seat);
        }
        if self.is_voting {
            return told("votes in this term".to_owned(), None);
        }
        if !has_elections {
            let summary = "the people of this network's backbone don't change: it has not 3f + 1 entries";
            return told(summary.to_owned(), None);
        }
        let Some(standing) = &self.standing else {
            let next = "have three people take you into their circles, then: watt seat stand WHO WHO WHO";
            return told("holds no seat and stands for none".to_owned(), Some(next));
        };
        if let (Some(_), Some(from)) = (standing.listed_since, standing.drawn_from) {
            let summary = if from <= self.term {
                "stands by: may be drawn when a seat is free".to_owned()
            } else {
                format!("stands by: may be drawn from term {from} on")
            };
            return told(summary, Some(keep_running));
        }
        let (done, needed) = (standing.shadow_terms, standing.shadow_terms_needed);
        if standing.ranked_since.is_none() {
            let summary = "stands for a seat; ranks are compared when a term begins, and this one is not among the best";
            return told(
                summary.to_owned(),
                Some("be trusted by more people, and more closely"),
            );
        }
        if done < needed {
            let summary = format!("stands for a seat, and works in shadow: {done} of {needed} terms");
            return told(summary, Some(keep_running));
        }
        let summary = "stands for a seat, but the people who vouch don't count yet".to_owned();
        let next = "name three who have had you in their circles for 90 days and are not in each other's";
        told(summary, Some(next))
    }

    fn seat_in_words(&self, seat: &SeatEntry) -> (String, Option<String>) {
        let since = seat.since;
        if seat.holder != self.address {
            let away = seat.away_since.unwrap_or(0);
            let summary = format!("votes since term {away} for {}, who is silent", seat.holder);
            return (summary, None);
        }
        if seat.is_leaving {
            let summary = "leaves its seat as soon as somebody can take it; votes until then".to_owned();
            return (summary, Some("keep the node running until then".to_owned()));
        }
        if let Some(away) = seat.away_since {
            let lost = away.saturating_add(AWAY_TERMS);
            let summary = format!(
                "was silent: somebody else votes since term {away}, and keeps the seat from term {lost} on"
            );
            let next = "start the node; the seat comes back when it was there for a whole term".to_owned();
            return (summary, Some(next));
        }
        let summary = format!(
            "holds a seat since term {since}; there in {} of {} windows of this term",
            self.attended, self.windows
        );
        let next = if !self.keys_missing.is_empty() {
            Some(
                "start its node with node.seat_account_key: voting keys for coming terms are missing"
                    .to_owned(),
            )
        } else if !self.has_cold_key {
            Some("register a cold key, so that the seat survives a lost disk".to_owned())
        } else {
            None
        };
        (summary, next)
    }
}
