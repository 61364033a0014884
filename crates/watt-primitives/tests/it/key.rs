use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::edwards::CompressedEdwardsY;
use proptest::prelude::*;
use watt_primitives::key::{CompressedPoint, Ed25519Key, SignatureCheck, all_hold};
use watt_primitives::{Domain, NetworkId, PublicKey, SecretKey, Signature};

const NETWORK: NetworkId = NetworkId::new([1; 32]);

fn is_registrable(bytes: [u8; 32]) -> bool {
    PublicKey::Ed25519(Ed25519Key(bytes)).is_registrable()
}

/// p = 2^255 - 19 plus a little: the encodings of y = `above` that are not canonical.
fn not_canonical(above: u8, sign: u8) -> [u8; 32] {
    let mut bytes = [0xff; 32];
    bytes[0] = 0xed + above;
    bytes[31] = 0x7f | sign << 7;
    bytes
}

/// All eight points of small order, all nineteen numbers with a second spelling in both signs, the two spellings of "minus
/// zero", and what is no point at all. Covers: A5 (TC18).
#[test]
fn weak_and_doubly_spelled_keys_cannot_be_registered() {
    for point in EIGHT_TORSION {
        assert!(!is_registrable(point.compress().0));
    }
    let mut decodable = 0;
    for above in 0..19 {
        for sign in 0..2 {
            let bytes = not_canonical(above, sign);
            decodable += u32::from(CompressedEdwardsY(bytes).decompress().is_some());
            assert!(!is_registrable(bytes), "p + {above}, sign {sign}");
        }
    }
    assert!(
        decodable > 4,
        "some are points, so only the spelling speaks against them"
    );
    for sound in [EIGHT_TORSION[0], EIGHT_TORSION[4]] {
        let mut minus_zero = sound.compress().0;
        minus_zero[31] |= 0x80;
        assert!(CompressedEdwardsY(minus_zero).decompress().is_some());
        assert!(!is_registrable(minus_zero));
    }
    let mut off_curve = [0; 32];
    off_curve[0] = 2;
    assert!(!is_registrable(off_curve));
}

#[test]
fn schemes_that_do_not_work_yet_cannot_be_registered() {
    let mut point = [9; 33];
    point[0] = 2;
    for key in [
        PublicKey::WebAuthnP256(CompressedPoint(point)),
        PublicKey::Secp256k1(CompressedPoint(point)),
    ] {
        assert!(!key.is_registrable());
        let check = SignatureCheck::new(key, Domain::Transaction, &NETWORK, b"", Signature([0; 64]));
        assert!(!check.holds() && !all_hold(&[check]));
    }
}

/// Why registration is strict: a small-order key "signs" everything. And even there one by one and in a batch agree, for
/// every pair of small-order key and small-order commitment, which is what ZIP-215 is for.
#[test]
fn single_and_batch_agree_on_small_order_points() {
    let sound = SecretKey::from_seed([2; 32]);
    let sound_check = SignatureCheck::new(
        sound.public(),
        Domain::Statement,
        &NETWORK,
        b"vote",
        sound.sign(Domain::Statement, &NETWORK, b"vote"),
    );
    let mut held = 0;
    for key in EIGHT_TORSION {
        for commitment in EIGHT_TORSION {
            let mut signature = [0; 64];
            signature[..32].copy_from_slice(&commitment.compress().0);
            let key = PublicKey::Ed25519(Ed25519Key(key.compress().0));
            let check = SignatureCheck::new(
                key,
                Domain::Statement,
                &NETWORK,
                b"anything",
                Signature(signature),
            );
            let holds = check.holds();
            held += u32::from(holds);
            assert_eq!(all_hold(&[sound_check.clone(), check]), holds);
        }
    }
    assert_eq!(held, 64);
}

/// A signature made in one domain or network means nothing in any other, alone or in a batch. Covers: A5 (TC19).
#[test]
fn signatures_do_not_move_between_domains_and_networks() {
    let key = SecretKey::from_seed([3; 32]);
    for from in Domain::ALL {
        let signature = key.sign(from, &NETWORK, b"message");
        let claim = |domain, network: &NetworkId| {
            SignatureCheck::new(key.public(), domain, network, b"message", signature)
        };
        let home = claim(from, &NETWORK);
        assert!(home.holds());
        for to in Domain::ALL.into_iter().filter(|to| *to != from) {
            assert!(!claim(to, &NETWORK).holds(), "{from:?} -> {to:?}");
        }
        let abroad = claim(from, &NetworkId::new([2; 32]));
        assert!(!abroad.holds());
        assert!(!all_hold(&[home.clone(), abroad]));
        assert!(all_hold(&[home]));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn keys_of_seeds_can_be_registered(seed in any::<[u8; 32]>()) {
        prop_assert!(SecretKey::from_seed(seed).public().is_registrable());
    }

    /// Any change of a signature, a key or a message breaks the claim, and a batch notices it wherever it stands.
    #[test]
    fn changed_signatures_do_not_hold(place in 0..8usize, at in 0..64usize, flip in 1..=255u8) {
        let mut checks: Vec<SignatureCheck> = (0..8u8)
            .map(|n| {
                let key = SecretKey::from_seed([n; 32]);
                let signature = key.sign(Domain::Transaction, &NETWORK, &[n]);
                SignatureCheck::new(key.public(), Domain::Transaction, &NETWORK, &[n], signature)
            })
            .collect();
        prop_assert!(all_hold(&checks));
        checks[place].signature.0[at] ^= flip;
        prop_assert!(!checks[place].holds());
        prop_assert!(!all_hold(&checks));
    }
}
