use super::*;
use alloc::vec::Vec;

const NETWORK: NetworkId = NetworkId::new([7; 32]);
const NONCE: Hash = Hash([9; 32]);
const NOW: Timestamp = Timestamp(1_000_000);

fn block(height: u64) -> BlockName {
    BlockName {
        height: BlockHeight(height),
        hash: Hash([u8::try_from(height).unwrap_or(255); 32]),
    }
}

/// A source that proves what it says, `ago_ms` old.
fn proves(source: u8, height: u64, ago_ms: u64) -> Answer<u8> {
    let proven = Proven {
        block: block(height),
        at: Timestamp(NOW.0.saturating_sub(ago_ms)),
    };
    Answer {
        source,
        newest: block(height),
        proven: Some(proven),
    }
}

/// A source that only says something.
fn says(source: u8, height: u64) -> Answer<u8> {
    Answer {
        source,
        newest: block(height),
        proven: None,
    }
}

fn of(answers: &[Answer<u8>]) -> (Light, Reason) {
    let judged = judge(answers, Proofs::Agree, AGREEING_MIN, NOW);
    (judged.light, judged.reason)
}

/// A word holds for its block, network, nonce and node, and for nothing else, so it can be passed on and not used again.
#[test]
fn a_word_is_one_nodes_answer_to_one_question() {
    let (key, other) = (SecretKey::from_seed([1; 32]), SecretKey::from_seed([2; 32]));
    let word = SignedNewest::sign(&NETWORK, block(4), &NONCE, &key);
    let is_of = |word: &SignedNewest, network, nonce, key: &SecretKey| {
        word.is_of(&NetworkId::new([network; 32]), &Hash([nonce; 32]), &key.node_id())
    };
    assert!(is_of(&word, 7, 9, &key));
    assert!(!is_of(&word, 8, 9, &key));
    assert!(!is_of(&word, 7, 8, &key));
    assert!(!is_of(&word, 7, 9, &other));
    let moved = SignedNewest {
        block: block(5),
        ..word
    };
    assert!(!is_of(&moved, 7, 9, &key));
}

/// Two independent sources that prove something new, at whatever heights, or one that proves it and one that names it.
///
/// Covers: B7, B8.
#[test]
fn green_is_proven_new_and_seen_by_two() {
    assert_eq!(
        of(&[proves(1, 40, 900), proves(2, 41, 100)]),
        (Light::Green, Reason::Fresh)
    );
    assert_eq!(
        of(&[proves(1, 40, 900), says(2, 40)]),
        (Light::Green, Reason::Fresh)
    );
    let one = judge(&[proves(1, 40, 900)], Proofs::Agree, 1, NOW);
    assert_eq!((one.light, one.agreeing, one.age_ms), (Light::Green, 1, 900));
}

/// Nine who agree on something prove nothing: without a proof nothing is shown, and against one they don't count.
///
/// Covers: B7.
#[test]
fn words_without_proof_are_nothing() {
    let nine: Vec<Answer<u8>> = (1..=9).map(|source| says(source, 200)).collect();
    let judged = judge(&nine, Proofs::Agree, AGREEING_MIN, NOW);
    assert_eq!(
        (judged.light, judged.reason, judged.newest),
        (Light::Amber, Reason::NoProof, None)
    );
    let with_one: Vec<Answer<u8>> = nine.into_iter().chain([proves(10, 40, 100)]).collect();
    let judged = judge(&with_one, Proofs::Agree, AGREEING_MIN, NOW);
    assert_eq!((judged.light, judged.reason), (Light::Amber, Reason::FewSources));
    assert_eq!(judged.newest.map(|proven| proven.block), Some(block(40)));
}

/// Two answers of one operator are one; whoever proves only something old does not agree to what is new.
#[test]
fn sources_count_once_and_only_with_something_new() {
    let few = (Light::Amber, Reason::FewSources);
    assert_eq!(of(&[proves(1, 40, 900), proves(1, 41, 100)]), few);
    assert_eq!(of(&[proves(1, 40, FRESH_MS_MAX), proves(2, 50, 100)]), few);
    assert_eq!(of(&[proves(1, 40, 900), says(2, 39)]), few);
}

/// Amber by age, at the limit and one below, and if the own clock can't be right.
#[test]
fn age_is_told_from_the_proven_slot() {
    let both = |ago_ms| [proves(1, 40, ago_ms), proves(2, 40, ago_ms)];
    assert_eq!(of(&both(FRESH_MS_MAX)), (Light::Amber, Reason::Old));
    assert_eq!(
        of(&both(FRESH_MS_MAX.saturating_sub(1))),
        (Light::Green, Reason::Fresh)
    );
    let ahead = |by_ms| {
        let at = NOW.plus(by_ms);
        let answer = |source| Answer {
            proven: Some(Proven { block: block(40), at }),
            ..says(source, 40)
        };
        of(&[answer(1), answer(2)])
    };
    assert_eq!(ahead(AHEAD_MS_MAX), (Light::Green, Reason::Fresh));
    assert_eq!(
        ahead(AHEAD_MS_MAX.saturating_add(1)),
        (Light::Amber, Reason::ClockBehind)
    );
    assert_eq!(of(&[]), (Light::Amber, Reason::NoAnswer));
}

/// Only two proofs that contradict each other are red, and then nothing else counts.
///
/// Covers: B7.
#[test]
fn only_proofs_against_proofs_are_red() {
    let both = [proves(1, 40, 900), proves(2, 41, 100)];
    let judged = judge(&both, Proofs::Contradict, AGREEING_MIN, NOW);
    assert_eq!((judged.light, judged.reason), (Light::Red, Reason::Contradiction));
}
