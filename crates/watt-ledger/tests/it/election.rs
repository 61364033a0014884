//! Who comes into the backbone and who goes, by what nodes did.

use crate::seats::{
    Nodes, TERM_SLOTS, TERM_WINDOWS, contradiction_of, seated, short_terms, voting_node, voting_secret,
};
use crate::world::id;
use std::collections::BTreeSet;
use watt_ledger::apply::{OUTSIDE_TERMS_MAX, STANDING_MAX};
use watt_ledger::query;
use watt_ledger::rows::{self, ChainRow, DutyCountsRow, PowerRow};
use watt_ledger::{Done, Event, Genesis, Refused};
use watt_light::Operation;
use watt_primitives::time::DAY_MS;
use watt_primitives::{AccountId, BoundedVec, Hash, LedgerTime, Term, TrustLevel, codec};
use watt_trust::backbone::Why;
use watt_trust::standby::{NOTICE_TERMS_MIN, SHADOW_TERMS_MIN};
use watt_trust::{Circle, backbone::GROWTH_TERMS};

/// Candidates; each is trusted by three people of their own whom nobody else trusts, and these by a seed or its friend.
const CANDIDATES: std::ops::Range<u8> = 20..30;

const NO_VOUCHERS: [AccountId; 3] = [AccountId([1; 20]); 3];

fn voucher(candidate: u8, n: u8) -> AccountId {
    let mut bytes = [0xee; 20];
    (bytes[0], bytes[1]) = (candidate, n);
    AccountId(bytes)
}

impl Nodes {
    fn write<T: serde::Serialize>(&mut self, key: Vec<u8>, row: &T) {
        self.world.state.write(&[(key, Some(codec::encode(row)))].into());
    }

    fn put_circle(&mut self, of: &AccountId, members: &[AccountId], since: LedgerTime) {
        let mut circle = Circle::default();
        for (at, member) in (0..).zip(members) {
            // No more than two in seven days.
            let at = LedgerTime(since.0 + at * 7 * DAY_MS);
            circle.add(of, *member, TrustLevel::Close, at).unwrap();
        }
        self.write(rows::circle(of), &circle);
    }

    /// As if circles had grown for a year: seeds, their friends, vouchers, candidates.
    fn grow_circles(&mut self) {
        let chain: ChainRow = rows::read(&self.world.state, rows::CHAIN).unwrap();
        let since = LedgerTime(chain.ledger_time().0 - 200 * DAY_MS);
        let account = query::account(&self.world.state, &id(1)).unwrap();
        let all: Vec<AccountId> = CANDIDATES
            .flat_map(|one| (0..3).map(move |n| voucher(one, n)))
            .collect();
        for (n, voucher) in all.iter().enumerate() {
            self.write(rows::account(voucher), &account);
            let candidate = CANDIDATES.start + u8::try_from(n / 3).unwrap();
            self.put_circle(voucher, &[id(candidate)], since);
        }
        // 3 seeds trust 5 friends each, of whom each trusts some of the vouchers.
        for (seed, friends) in (0..3u8).zip([[3, 4, 5], [6, 7, 8], [9, 10, 11]]) {
            self.put_circle(&id(seed), &friends.map(id), since);
            for (at, friend) in friends.into_iter().enumerate() {
                let at = usize::from(seed) * 3 + at;
                let mine: Vec<AccountId> = all.iter().skip(at).step_by(9).copied().collect();
                self.put_circle(&id(friend), &mine[..mine.len().min(5)], since);
            }
        }
        // What was planted is no part of the tree; nobody asks for it in these tests.
    }

    fn stand(&mut self, n: u8) -> Result<Done, Refused> {
        let vouchers = [0, 1, 2].map(|at| voucher(n, at));
        self.act(n, Operation::StandForBackbone { vouchers })
    }

    /// Everybody of `people` stands by, and long enough to be drawn in this term.
    pub fn make_standby(&mut self, people: std::ops::Range<u8>) {
        for n in people.clone() {
            self.stand(n).unwrap();
            self.there.insert(n);
        }
        let term = self.world.height() / TERM_SLOTS + 1;
        for n in people.clone() {
            self.set_shadow(n, SHADOW_TERMS_MIN, None);
        }
        self.go_to_term(term);
        for n in people {
            let row = query::standing(&self.world.state, &id(n)).unwrap();
            assert!(
                row.ranked_since.is_some() && row.listed_since == Some(Term(term)),
                "{n}: {row:?}"
            );
            self.set_shadow(
                n,
                SHADOW_TERMS_MIN,
                Some(Term(term.saturating_sub(NOTICE_TERMS_MIN))),
            );
        }
    }

    fn seat_events(&self) -> Vec<Event> {
        let is_seat = |event: &Event| matches!(event, Event::SeatGiven { .. } | Event::SeatAdded { .. });
        let events = self.events.iter().map(|(_, event)| *event);
        events.filter(is_seat).collect()
    }

    /// With seats of 40 to 43, all there, and circles; in term 20, so that lists can have stood for 14 terms.
    fn with_circles() -> Self {
        Self::of_with_circles(&short_terms(), 40..44)
    }

    pub fn of_with_circles(document: &Genesis, there: std::ops::Range<u8>) -> Self {
        let mut nodes = Self::of(document, there);
        nodes.go_to_term(20);
        nodes.grow_circles();
        nodes
    }
}

fn person_of(account: AccountId) -> u8 {
    (0..50).find(|n| id(*n) == account).unwrap()
}

/// Whoever falls silent is replaced two terms later by somebody drawn from those who stand by, who votes with a key of their own; on
/// coming back they have the seat again. Receipts say who and why.
#[test]
fn the_silent_are_replaced_and_come_back() {
    let mut nodes = Nodes::with_circles();
    nodes.make_standby(20..24);
    let term = nodes.world.height() / TERM_SLOTS;
    nodes.go_to_term(term + 1);
    nodes.there.remove(&41);
    nodes.go_to_term(term + 2);
    assert_eq!(nodes.people(term + 2), seated(40..44));
    nodes.go_to_term(term + 3);
    let [
        Event::SeatGiven {
            term: with,
            leaves,
            enters,
            why,
        },
    ] = nodes.seat_events()[..]
    else {
        unreachable!("{:?}", nodes.seat_events())
    };
    assert_eq!((with, leaves, why), (Term(term + 3), id(41), Why::Silent));
    let substitute = person_of(enters);
    assert!((20..24).contains(&substitute));
    let voters = nodes.voters(term + 3);
    assert!(
        voters.contains(&(enters, voting_node(substitute, term + 3))),
        "with their own key"
    );
    assert!(!nodes.people(term + 3).contains(&id(41)));
    assert_eq!(nodes.people(term + 2), seated(40..44), "only with the new term");

    nodes.there.insert(41);
    nodes.go_to_term(term + 7);
    let back = nodes.seat_events()[1];
    let Event::SeatGiven {
        leaves,
        enters: again,
        why,
        ..
    } = back
    else {
        unreachable!("{back:?}")
    };
    assert_eq!((leaves, again, why), (enters, id(41), Why::Back));
    assert_eq!(nodes.people(term + 7), seated(40..44));
}

/// Who withholds more than four layers in a term is silent, though attending.
#[test]
fn who_withholds_layers_is_silent() {
    let mut document = short_terms();
    document.parameters.window_slots = 2;
    document.parameters.term_windows = 8;
    let mut nodes = Nodes::of_with_circles(&document, 40..44);
    nodes.make_standby(20..24);
    let term = nodes.world.height() / TERM_SLOTS;
    nodes.go_to(nodes.world.height() + 1);
    nodes.withholding.insert(42);
    nodes.go_to_term(term + 3);
    let events = nodes.seat_events();
    assert!(
        matches!(events[..], [Event::SeatGiven { leaves, why: Why::Silent, .. }] if leaves == id(42)),
        "{events:?}"
    );
}

/// Evidence takes a seat, for good.
#[test]
fn the_faulty_lose_their_seat() {
    let mut nodes = Nodes::with_circles();
    nodes.make_standby(20..24);
    let term = nodes.world.height() / TERM_SLOTS;
    let culprit = voting_secret(40, Term(term));
    let evidence = Box::new(contradiction_of(&nodes.world, &culprit));
    nodes.act(1, Operation::ReportEvidence { evidence }).unwrap();
    nodes.go_to_term(term + 2);
    let events = nodes.seat_events();
    assert!(
        matches!(events[..], [Event::SeatGiven { leaves, why: Why::Faulty, .. }] if leaves == id(40)),
        "{events:?}"
    );
    nodes.go_to_term(term + 5);
    assert_eq!(nodes.seat_events(), events, "never comes back");
    assert!(!nodes.people(term + 5).contains(&id(40)));
}

/// Who asks to leave is replaced as the silent are, and does not come back by themselves.
#[test]
fn a_holder_can_leave() {
    let mut nodes = Nodes::with_circles();
    nodes.make_standby(20..24);
    let term = nodes.world.height() / TERM_SLOTS;
    nodes.act(43, Operation::WithdrawFromBackbone {}).unwrap();
    assert_eq!(
        nodes.act(43, Operation::WithdrawFromBackbone {}),
        Err(Refused::NotStanding)
    );
    nodes.go_to_term(term + 4);
    assert_eq!(nodes.seat_events().len(), 1);
    assert!(!nodes.people(term + 4).contains(&id(43)));
    nodes.act(43, Operation::WithdrawFromBackbone {}).unwrap_err();
}

/// Of seven voters one dies for good every third term, and all slots are late: six are gone in the end, and at no time fewer are there
/// than have to be (TC2).
#[test]
fn one_after_another_dies_and_the_network_lives() {
    let mut document = short_terms();
    document.backbone = BoundedVec::new((0..7).map(crate::world::seat).collect()).unwrap();
    let mut nodes = Nodes::of_with_circles(&document, 40..47);
    nodes.make_standby(CANDIDATES);
    nodes.world.step_ms = 10_000;
    let mut term = nodes.world.height() / TERM_SLOTS;
    let n_there = |nodes: &Nodes, term| {
        let there: BTreeSet<AccountId> = nodes.there.iter().map(|n| id(*n)).collect();
        nodes.people(term).intersection(&there).count()
    };
    for dead in 40..46 {
        nodes.there.remove(&dead);
        for _ in 0..3 {
            term += 1;
            nodes.go_to_term(term);
            assert!(n_there(&nodes, term) >= 5, "{dead} is dead, term {term}");
        }
    }
    assert_eq!((n_there(&nodes, term), nodes.people(term).len()), (7, 7));
}

/// An entrant who falls silent after the plan, or has no key for the term, does not come in: the voter stays.
#[test]
fn an_entrant_who_falls_silent_does_not_enter() {
    let mut nodes = Nodes::with_circles();
    nodes.make_standby(20..24);
    let term = nodes.world.height() / TERM_SLOTS;
    nodes.go_to_term(term + 1);
    nodes.there.remove(&41);
    nodes.go_to_term(term + 2);
    nodes.there.retain(|n| *n >= 40);
    nodes.go_to(nodes.world.height() + TERM_SLOTS / 2);
    let planned = query::seats(&nodes.world.state).unwrap().plan.unwrap();
    assert_eq!(
        planned.replacements.len(),
        1,
        "they were steady in the term before"
    );
    nodes.go_to_term(term + 3);
    assert_eq!(nodes.people(term + 3), seated(40..44));
    assert!(nodes.seat_events().is_empty());
}

/// With enough people who stand by, and slots on time, the backbone grows by three; not if many slots were late.
#[test]
fn the_backbone_grows_by_three_on_quiet_days() {
    for is_late in [true, false] {
        let mut nodes = Nodes::with_circles();
        nodes.make_standby(CANDIDATES);
        let term = nodes.world.height() / TERM_SLOTS;
        assert!(term >= GROWTH_TERMS);
        nodes.world.step_ms = if is_late { 2_001 } else { 2_000 };
        nodes.go_to_term(term + 1);
        nodes.there.extend(CANDIDATES);
        nodes.go_to_term(term + 3);
        let added = nodes.seat_events();
        assert_eq!(added.len(), if is_late { 0 } else { 3 }, "{added:?}");
        assert_eq!(nodes.people(term + 3).len(), if is_late { 4 } else { 7 });
        nodes.go_to_term(term + 5);
        assert_eq!(nodes.seat_events().len(), added.len(), "once in fourteen terms");
    }
}

/// A term in which a candidate's providers did not prove what candidates have to is no work in shadow, however steady they were.
/// Covers: D5.
#[test]
fn candidates_have_to_prove_storage() {
    let mut document = short_terms();
    document.parameters.standby_power_bytes = 1 << 20;
    let mut nodes = Nodes::of_with_circles(&document, 40..44);
    nodes.stand(20).unwrap();
    nodes.there.insert(20);
    let term = nodes.world.height() / TERM_SLOTS + 4;
    nodes.go_to_term(term);
    let shadow_terms = |nodes: &Nodes| query::standing(&nodes.world.state, &id(20)).unwrap().shadow_terms;
    assert_eq!(shadow_terms(&nodes), 0);
    let proven = PowerRow {
        term: Term(term),
        byte_windows: (1 << 20) * TERM_WINDOWS,
        byte_windows_before: (1 << 20) * TERM_WINDOWS - 1,
    };
    nodes.write(rows::power(&id(20)), &proven);
    nodes.go_to_term(term + 1);
    assert_eq!(shadow_terms(&nodes), 0, "a byte less than needed");
    nodes.go_to_term(term + 3);
    assert_eq!(shadow_terms(&nodes), 1, "that of the term in which it was enough");
}

/// From an offer to the list: rank, ninety terms in shadow, three old and independent friends; and off it again.
#[test]
fn the_way_to_the_list() {
    let mut nodes = Nodes::with_circles();
    let known = nodes.stand(20);
    assert_eq!(known, Ok(Done::StandingForBackbone {}));
    nodes.there.insert(20);
    let term = nodes.world.height() / TERM_SLOTS;
    assert!(
        query::duties(&nodes.world.state, &id(20)).is_none(),
        "not ranked yet"
    );
    nodes.go_to_term(term + 1);
    let row = query::standing(&nodes.world.state, &id(20)).unwrap();
    assert_eq!(row.ranked_since, Some(Term(term + 1)));
    nodes.go_to_term(term + 4);
    let row = query::standing(&nodes.world.state, &id(20)).unwrap();
    assert_eq!(
        (row.shadow_terms, row.listed_since),
        (2, None),
        "terms + 1 and + 2 are counted"
    );
    nodes.set_shadow(20, SHADOW_TERMS_MIN - 1, None);
    nodes.go_to_term(term + 5);
    let row = query::standing(&nodes.world.state, &id(20)).unwrap();
    assert_eq!(
        (row.shadow_terms, row.listed_since),
        (SHADOW_TERMS_MIN, Some(Term(term + 5)))
    );
    let joined = Event::StandsBy { person: id(20) };
    assert!(nodes.events.iter().any(|(_, event)| *event == joined));

    // A voucher whose trust is gone.
    let (voucher, key) = (voucher(20, 1), rows::circle(&voucher(20, 1)));
    assert!(!query::circle(&nodes.world.state, &voucher).is_empty());
    nodes.world.state.write(&[(key, None)].into());
    nodes.go_to_term(term + 6);
    let row = query::standing(&nodes.world.state, &id(20)).unwrap();
    assert!(row.ranked_since.is_some() && row.listed_since.is_none());
    let left = Event::StandsByNoMore { person: id(20) };
    assert!(nodes.events.iter().any(|(_, event)| *event == left));

    // No rank at all: fourteen terms of grace.
    nodes.there.remove(&20);
    for n in [0, 2] {
        let key = rows::circle(&self::voucher(20, n));
        nodes.world.state.write(&[(key, None)].into());
    }
    nodes.go_to_term(term + 6 + OUTSIDE_TERMS_MAX - 1);
    let row = query::standing(&nodes.world.state, &id(20)).unwrap();
    assert_eq!(
        (row.ranked_since, row.outside_terms),
        (None, OUTSIDE_TERMS_MAX - 1)
    );
    nodes.go_to_term(term + 6 + OUTSIDE_TERMS_MAX);
    assert_eq!(query::standing(&nodes.world.state, &id(20)), None);
    let counts: DutyCountsRow = rows::read(&nodes.world.state, rows::DUTY_COUNTS).unwrap();
    assert_eq!(counts.n_standing, 0);
}

/// Offers that break a rule are refused; who has no rank leaves the list with the next term, so that there is room again.
#[test]
fn offers_have_rules() {
    let mut nodes = Nodes::with_circles();
    let stand = |vouchers| Operation::StandForBackbone { vouchers };
    assert_eq!(nodes.act(20, stand(NO_VOUCHERS)), Err(Refused::Vouchers));
    let [one, two, _] = [0, 1, 2].map(|n| voucher(20, n));
    assert_eq!(
        nodes.act(20, stand([one, two, two])),
        Err(Refused::Vouchers),
        "one twice"
    );
    assert_eq!(
        nodes.act(20, stand([one, two, voucher(21, 0)])),
        Err(Refused::Vouchers),
        "trusts another"
    );
    assert_eq!(
        nodes.act(20, Operation::WithdrawFromBackbone {}),
        Err(Refused::NotStanding)
    );
    nodes.stand(20).unwrap();
    nodes.stand(20).unwrap();
    let counts =
        |nodes: &Nodes| -> DutyCountsRow { rows::read(&nodes.world.state, rows::DUTY_COUNTS).unwrap() };
    assert_eq!(counts(&nodes).n_standing, 1);
    nodes.act(20, Operation::WithdrawFromBackbone {}).unwrap();
    assert_eq!(counts(&nodes).n_standing, 0);

    // One below the limit, and the limit; of people whom nobody in the graph trusts.
    nodes.stand(20).unwrap();
    let row = query::standing(&nodes.world.state, &id(20)).unwrap();
    for n in 0..STANDING_MAX - 2 {
        let stranger = AccountId(Hash::of_content(&n.to_be_bytes()).0[..20].try_into().unwrap());
        nodes.write(rows::standing(&stranger), &row);
    }
    let full = DutyCountsRow {
        n_standing: u64::try_from(STANDING_MAX - 1).unwrap(),
        ..counts(&nodes)
    };
    nodes.write(rows::DUTY_COUNTS.to_vec(), &full);
    nodes.stand(21).unwrap();
    assert_eq!(nodes.stand(22), Err(Refused::TooManyStanding));
    let term = nodes.world.height() / TERM_SLOTS;
    nodes.go_to_term(term + 1);
    assert_eq!(counts(&nodes).n_standing, 2);
    nodes.stand(22).unwrap();
}

/// A network that nobody trusts in goes on as it is: nobody stands by, all are silent, and voters stay.
#[test]
fn a_young_network_keeps_its_voters() {
    let mut document = short_terms();
    document.trust_seeds = BoundedVec::empty();
    let mut nodes = Nodes::of(&document, []);
    let first = nodes.voters(0);
    nodes.go_to_term(40);
    assert_eq!(nodes.voters(40), first);
    assert!(nodes.seat_events().is_empty());
}

/// A backbone that is not `3f + 1` stays as it is, with keys that change.
#[test]
fn a_backbone_of_another_size_stays() {
    let mut document = short_terms();
    let two = (0..2).map(crate::world::seat).collect();
    document.backbone = BoundedVec::new(two).unwrap();
    let mut nodes = Nodes::of(&document, [40]);
    assert!(query::seats(&nodes.world.state).is_none());
    nodes.go_to_term(3);
    assert_eq!(nodes.people(3), seated(40..42));
    assert!(nodes.voters(3).contains(&(id(40), voting_node(40, 3))));
}
