//! Arithmetic against the search.

use super::*;
use crate::analysis::{Finding, search};
use crate::network::Slices;

fn network(threshold: u32, members: u32) -> Network {
    let names: Vec<String> = (0..members).map(|n| format!("n{n:02}")).collect();
    let slices = Slices {
        threshold: u64::from(threshold),
        validators: names.clone(),
        inner_quorum_sets: Vec::new(),
    };
    Network::checked(names.into_iter().map(|name| (name, slices.clone()))).unwrap()
}

fn searched(network: &Network) -> Analysis {
    let mut analysis = Analysis::default();
    search(network, |finding: Finding| analysis.add(finding));
    analysis
}

/// For every flat set of up to seven members, arithmetic says what the search finds: whether quorums intersect, how many must fail or
/// lie, and in how many ways.
#[test]
fn arithmetic_is_what_the_search_finds() {
    for members in 1..=7 {
        for threshold in 1..=members {
            let network = network(threshold, members);
            let (at_once, found) = (Flat::analyze(&network).unwrap(), searched(&network));
            let of = format!("{threshold} of {members}");
            assert!(at_once.is_complete() && found.is_complete(), "{of}");
            let is_yes = |analysis: &Analysis| analysis.intersection == Intersection::Yes;
            assert_eq!(is_yes(&at_once), is_yes(&found), "{of}: intersection");
            let shape = |sets: &Option<Sets>| sets.as_ref().map(|sets| (sets.smallest, sets.count));
            assert_eq!(shape(&at_once.blocking), shape(&found.blocking), "{of}: blocking");
            // Where all are needed the search knows of nobody left to be split; who follows without voting still can be.
            let splitting = if threshold == members {
                assert_eq!(shape(&found.splitting), Some((0, 0)), "{of}");
                Some((size(members), 1))
            } else {
                shape(&found.splitting)
            };
            assert_eq!(shape(&at_once.splitting), splitting, "{of}: splitting");
            assert_eq!(at_once.top_tier, found.top_tier, "{of}: top tier");
        }
    }
}

/// The backbone's own numbers: with k = 3f + 1 and t = 2f + 1, f + 1 stop it and f + 1 split it.
#[test]
fn a_backbone_bears_f_faults() {
    for f in [1, 2, 4, 7, 20] {
        let flat = Flat::new(2 * f + 1, 3 * f + 1).unwrap();
        assert_eq!(
            (flat.blocking(), flat.splitting(), flat.intersects()),
            (f + 1, f + 1, true)
        );
    }
    assert_eq!(Flat::new(0, 4), None);
    assert_eq!(Flat::new(5, 4), None);
}

#[test]
fn two_halves_are_named() {
    let Some(Analysis {
        intersection: Intersection::No { quorums },
        ..
    }) = Flat::analyze(&network(2, 4))
    else {
        panic!("2 of 4 do not intersect");
    };
    assert_eq!(quorums, [["n00", "n01"], ["n02", "n03"]]);
}

#[test]
fn ways_to_choose_are_bounded() {
    assert_eq!((choose(10, 3), choose(7, 7), choose(5, 0)), (120, 1, 1));
    assert_eq!(choose(61, 21), 12_176_310_231_149_295);
    assert_eq!(choose(1_000, 500), u64::MAX);
}

/// A set is flat arithmetic only if everybody declares it and all its members are there.
#[test]
fn what_is_not_one_flat_set_is_searched() {
    let whole = network(3, 4);
    let missing = Network::checked(
        whole
            .names()
            .skip(1)
            .map(|name| (name.to_owned(), whole.flat().unwrap().clone())),
    )
    .unwrap();
    assert_eq!(Flat::analyze(&missing), None);
    // Three of three are needed now: one stops it.
    assert_eq!(searched(&missing).blocking.unwrap().smallest, 1);
}
