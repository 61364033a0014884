use super::*;
use watt_primitives::{AccountId, NetworkId};
use watt_proofs::window::{Step, Window, beacon_element, initial_state};

fn element(name: &str) -> Element {
    Element::of_hash(&Hash::of_content(name.as_bytes()))
}

/// Steps that were missed: anybody can make them, and folding them costs what folding any does.
fn steps(network: &NetworkId, n: u32) -> Vec<Step> {
    let beacon = |window: u32| {
        let value = Hash::of_content(&window.to_be_bytes());
        beacon_element(network, &value)
    };
    let window = |window: u32| Window {
        set: element("set"),
        beacon: beacon(window),
        answers: element("answers"),
        next_beacon: beacon(window + 1),
    };
    (0..n)
        .map(|number| Step::failed(Shape::SMALL, window(number)))
        .collect()
}

fn good_names(folded: &Folded) -> usize {
    locked(&folded.0.good).names.len()
}

/// A proof that holds is accepted, and not verified a second time; whatever differs from it is bad and stops nothing; parameters are
/// kept, and made again when the disk has changed them. Covers: D3.
#[test]
fn proofs_are_verified_once_and_parameters_made_once() {
    let dir = tempfile::tempdir().unwrap();
    let folded = Folded::open(dir.path()).unwrap();
    let network = NetworkId::new([7; 32]);
    let from = initial_state(&network, &AccountId([9; 20]));
    let prover = folded.prover(WindowShape::Small).unwrap();
    let running = prover.recover(from, &steps(&network, 1), None).unwrap();
    let shown = prover.shown(&running);
    let good = FoldedProof {
        windows: FoldedWindows {
            shape: WindowShape::Small,
            from: Hash(shown.from.to_bytes()),
            to: Hash(shown.to.to_bytes()),
            n_windows: shown.n_windows,
            n_good: shown.n_good,
        },
        proof: prover.compress(&running).unwrap(),
    };
    let changed = |change: &dyn Fn(&mut FoldedProof)| {
        let mut proof = good.clone();
        change(&mut proof);
        proof
    };
    let bad = [
        changed(&|proof| proof.windows.from = Hash([0xff; 32])),
        changed(&|proof| proof.windows.to = Hash([0xff; 32])),
        changed(&|proof| proof.windows.to = proof.windows.from),
        changed(&|proof| proof.windows.n_windows = 0),
        changed(&|proof| proof.windows.n_good = 1),
        changed(&|proof| proof.windows.n_good = 2),
        changed(&|proof| proof.windows.n_windows = u32::MAX),
        changed(&|proof| proof.proof = Vec::new()),
        changed(&|proof| proof.proof = vec![0xff; FOLDED_BYTES_MAX]),
        changed(&|proof| proof.proof = vec![0; FOLDED_BYTES_MAX + 1]),
        changed(&|proof| proof.proof[100] ^= 1),
    ];
    assert_eq!(folded.first_bad(&[]), None);
    for proof in &bad {
        assert_eq!(folded.first_bad(std::slice::from_ref(proof)), Some(0));
        assert_eq!(folded.first_bad(&[good.clone(), proof.clone()]), Some(1));
    }
    assert_eq!(
        good_names(&folded),
        0,
        "one of a batch that is not good is not remembered"
    );
    assert_eq!(folded.first_bad(&[good.clone(), good.clone()]), None);
    assert_eq!(good_names(&folded), 1);
    assert_eq!(folded.unable(), None);

    // A second life reads what the first one made; the disk changed a byte before the third.
    let kept = std::fs::read_dir(dir.path())
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let written = std::fs::read(&kept).unwrap();
    let second = Folded::open(dir.path()).unwrap();
    assert_eq!(second.first_bad(std::slice::from_ref(&good)), None);
    assert_eq!(good_names(&second), 1);
    let mut damaged = written.clone();
    damaged[1_000_000] ^= 1;
    std::fs::write(&kept, damaged).unwrap();
    let third = Folded::open(dir.path()).unwrap();
    third.prepare(&[WindowShape::Small].into());
    assert_eq!(
        std::fs::read(&kept).unwrap(),
        written,
        "the same on every machine"
    );
    assert_eq!(third.first_bad(std::slice::from_ref(&good)), None);
}

/// A machine that can't look at a proof at all says so, beside its verdict, which nobody may believe; one that can says nothing, however
/// bad the proof. Covers: D3.
#[test]
fn a_machine_that_cannot_verify_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let folded = Folded::with_digests(dir.path(), |_| None).unwrap();
    let element = |name| Hash(element(name).to_bytes());
    let mut proof = FoldedProof {
        windows: FoldedWindows {
            shape: WindowShape::Small,
            from: element("from"),
            to: element("to"),
            n_windows: 0,
            n_good: 0,
        },
        proof: vec![1, 2, 3],
    };
    assert_eq!(folded.first_bad(std::slice::from_ref(&proof)), Some(0));
    assert_eq!(folded.unable(), None, "no proof shows no window");
    proof.windows.n_windows = 1;
    assert_eq!(folded.first_bad(std::slice::from_ref(&proof)), Some(0));
    assert!(folded.unable().is_some());
}

/// What is remembered is bounded: the oldest makes way. Covers: D3.
#[test]
fn good_proofs_are_forgotten_in_turn() {
    let mut good = Good::default();
    let name = |number: usize| Hash::of_content(&number.to_be_bytes());
    good.remember((0..=GOOD_MAX).map(name).collect());
    good.remember(vec![name(GOOD_MAX)]);
    assert_eq!(good.names.len(), GOOD_MAX);
    assert!(!good.names.contains(&name(0)) && good.names.contains(&name(1)));
}
