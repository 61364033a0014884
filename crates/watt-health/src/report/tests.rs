//! What a node says of itself.

use super::*;

const NOW: u64 = 1_700_000_000_000;

fn node(n: u8) -> NodeId {
    NodeId([n; 32])
}

/// The first of `k` validators, that hears the first `heard` of them, and a block a second ago.
fn view(k: u8, heard: u8) -> View {
    let threshold = k - (k - 1) / 3;
    View {
        now_ms: NOW,
        slot_ms: 1_000,
        quorum_set: QuorumSet::flat(u32::from(threshold), (1..=k).map(node).collect()),
        own: Some(node(1)),
        hears: true,
        heard: (2..=heard).map(|n| (node(n), NOW - 500)).collect(),
        accused: BTreeSet::new(),
        height: 99,
        closed_ms: NOW - 1_000,
        behind: 0,
        unknown_version: None,
        peers: u64::from(k) - 1,
    }
}

fn reason(view: &View) -> (Verdict, Reason) {
    let report = Report::of(view);
    assert_eq!(
        report.next.is_empty(),
        report.verdict == Verdict::Connected,
        "{report:?}"
    );
    (report.verdict, report.reason)
}

/// Covers: A4.
#[test]
fn a_healthy_node_says_how_far_it_is_from_trouble() {
    let report = Report::of(&view(7, 7));
    assert_eq!(
        report.sentence,
        "Connected: 7 of 7 validators were heard in the last minute. The network stops if 3 fail, and could be split by 3 that lie."
    );
    assert_eq!((report.stops_after, report.splits_after), (Some(3), Some(3)));
    assert_eq!(
        Report::of(&view(4, 3)).sentence,
        "Connected: 3 of 4 validators were heard in the last minute (not 04040404). The network stops if 1 more fails, and could be \
         split by 2 that lie."
    );
}

/// With each validator that falls silent one less may fail; below a quorum no slice is reachable. Covers: A4.
#[test]
fn silence_is_counted() {
    for heard in 1..=7_u8 {
        let report = Report::of(&view(7, heard));
        assert_eq!(report.heard, usize::from(heard));
        assert_eq!(report.has_slice, heard >= 5, "{heard}");
        assert_eq!(report.stops_after, Some(usize::from(heard).saturating_sub(4)));
        let expected = if heard >= 5 { Reason::Fine } else { Reason::NoSlice };
        assert_eq!(report.reason, expected);
    }
    let mut early = view(4, 4);
    early.heard.insert(node(2), NOW - HEARD_MS);
    assert_eq!(Report::of(&early).heard, 4);
    early.heard.insert(node(2), NOW - HEARD_MS - 1);
    assert_eq!(Report::of(&early).heard, 3);
    // Strangers don't count.
    early.heard.insert(node(77), NOW);
    assert_eq!(Report::of(&early).heard, 3);
}

#[test]
fn every_trouble_has_its_sentence() {
    let not = |view: &View| match reason(view) {
        (Verdict::NotConnected, reason) => reason,
        (verdict, reason) => panic!("{verdict:?} {reason:?}"),
    };
    let mut alone = view(4, 4);
    alone.peers = 0;
    assert_eq!(not(&alone), Reason::NoPeer);
    let mut one = view(1, 1);
    one.peers = 0;
    assert_eq!(reason(&one), (Verdict::Connected, Reason::Fine));
    assert!(Report::of(&one).sentence.contains("1 of 1 validator was heard"));

    let mut still = view(4, 2);
    still.closed_ms = NOW - 41_000;
    assert_eq!(not(&still), Reason::StandsStill);
    let said = Report::of(&still).sentence;
    assert_eq!(
        said,
        "Not connected: the network stands still, the newest block is 41 s old; 2 of 4 validators were heard in the last minute (not \
         03030303, 04040404), and 3 are needed."
    );
    still.behind = 200;
    assert_eq!(not(&still), Reason::Behind);
    // A peer that boasts does not unsettle a node to which blocks come.
    still.closed_ms = NOW - 1_000;
    assert_eq!(not(&still), Reason::NoSlice);
    let mut boasted = view(4, 4);
    boasted.behind = 1 << 40;
    assert_eq!(reason(&boasted).0, Verdict::Connected);

    let mut puzzled = view(4, 4);
    puzzled.closed_ms = NOW - STILL_MS - 1;
    assert_eq!(not(&puzzled), Reason::StandsStill);
    puzzled.closed_ms = NOW - STILL_MS;
    assert_eq!(reason(&puzzled).0, Verdict::Connected);
    puzzled.slot_ms = 5_000;
    puzzled.closed_ms = NOW - 50_000;
    assert_eq!(reason(&puzzled).0, Verdict::Connected);

    let mut fresh = view(4, 4);
    fresh.height = 0;
    assert_eq!(not(&fresh), Reason::NoBlock);

    let mut halves = view(4, 4);
    halves.quorum_set.threshold = 2;
    assert_eq!(not(&halves), Reason::Disjoint);
    assert_eq!(Report::of(&halves).splits_after, Some(0));
}

/// A liar counts towards a split, enough of them befoul everybody. Covers: A4.
#[test]
fn liars_are_counted() {
    let mut view = view(7, 7);
    view.accused = [node(2)].into();
    let report = Report::of(&view);
    assert_eq!(report.splits_after, Some(2));
    assert!(
        report
            .sentence
            .ends_with("could be split by 2 more that lie. 1 contradicted itself."),
        "{}",
        report.sentence
    );
    view.accused = [node(2), node(3), node(4)].into();
    assert_eq!(reason(&view), (Verdict::NotConnected, Reason::Befouled));
    view.accused = [node(50), node(51), node(52)].into();
    assert_eq!(reason(&view).0, Verdict::Connected);
}

/// A follower hears no statements; it says who signed blocks.
#[test]
fn a_follower_says_what_it_knows() {
    let mut view = view(4, 4);
    view.own = None;
    view.hears = false;
    let report = Report::of(&view);
    assert_eq!(
        report.sentence,
        "Connected: 3 of 4 validators signed blocks in the last minute (not 01010101). The network stops if 1 more fails, and could \
         be split by 2 that lie."
    );
}

/// A nested set is not arithmetic: the verdict waits for the search, of all validators and of those that were heard.
#[test]
fn nested_sets_are_settled_by_a_search() {
    let trio = |n: u8| QuorumSet::flat(2, vec![node(n), node(n + 1), node(n + 2)]);
    let mut view = view(9, 9);
    view.quorum_set = QuorumSet::flat(3, Vec::new());
    view.quorum_set.inner = watt_primitives::BoundedVec::new(vec![trio(1), trio(4), trio(7)]).unwrap();
    view.heard.remove(&node(2));
    let mut report = Report::of(&view);
    assert_eq!(
        (report.verdict, report.has_slice, report.quorum),
        (Verdict::NotKnown, true, None)
    );

    let search = |which| {
        let mut analysis = Analysis::default();
        crate::analysis::search(&report.network(which).unwrap(), |finding| analysis.add(finding));
        analysis
    };
    let (all, heard) = (search(Which::All), search(Which::Heard));
    report.settle(&all, &heard);
    assert_eq!(report.verdict, Verdict::Connected);
    // One more of the trio that lacks one stops it; without the silence it would take two.
    assert_eq!((report.stops_after, all.blocking.unwrap().smallest), (Some(1), 2));
    assert_eq!(report.intersects, Some(true));

    report.settle(&Analysis::default(), &Analysis::default());
    assert_eq!((report.verdict, report.stops_after), (Verdict::NotKnown, None));
}

#[test]
fn a_report_survives_its_json() {
    let report = Report::of(&view(7, 6));
    let text = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
}

/// A node that stopped before rules that its program does not know says so, whatever else is wrong. Covers: A11.
#[test]
fn an_old_program_says_that_it_stopped() {
    let view = View {
        unknown_version: Some(2),
        peers: 0,
        closed_ms: NOW - 3_600_000,
        ..view(4, 1)
    };
    let report = Report::of(&view);
    assert_eq!(
        (report.verdict, report.reason),
        (Verdict::NotConnected, Reason::OldProgram)
    );
    assert_eq!(
        report.sentence,
        "Not connected: this node stopped at height 99, before version 2 of the network's rules, which its program does not know."
    );
    assert!(report.next.starts_with("update this program"), "{}", report.next);
}

/// Whoever asks does not learn which of the validators it asked; the report says the same else. Covers: A4.
#[test]
fn a_report_does_not_say_whose_it_is() {
    let report = Report::of(&view(7, 7));
    assert!(report.members.iter().any(|member| member.is_own));
    let told = report.clone().for_anyone();
    assert!(!told.members.iter().any(|member| member.is_own));
    let of_others = |mut view: View| {
        view.own = None;
        Report::of(&view).members
    };
    assert_eq!(told.members[1..], of_others(view(7, 7))[1..]);
    assert_eq!((told.verdict, told.sentence), (report.verdict, report.sentence));
    let alone = Report::of(&view(1, 1)).for_anyone();
    assert!(alone.members[0].is_own, "the only one is known");
}
