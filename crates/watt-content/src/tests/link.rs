use super::key;
use crate::ShareLink;
use crate::link::{InvalidLink, NetworkHint, OtherNetwork};
use proptest::prelude::*;
use std::format;
use std::string::{String, ToString};
use watt_primitives::{Cid, NetworkId};

const HERE: NetworkId = NetworkId::new([0xab; 32]);

fn link() -> ShareLink {
    ShareLink::new(Cid::of_block(b"manifest"), &HERE, key())
}

/// A link says what it is, and comes back from its text, also with space around it. Covers: C3.
#[test]
fn a_link_comes_back() {
    let text = link().to_text(&HERE);
    assert!(
        text.starts_with("watt:bafyr4i") && text.contains("?v=1&n=abababab#QkJC"),
        "{text}"
    );
    for spelling in [
        text.clone(),
        format!("  {text}\n"),
        text.replacen("watt", "WATT", 1),
    ] {
        assert_eq!(ShareLink::parse(&spelling), Ok(link()));
    }
    let bare = text.replace("&n=abababab", "&later=x");
    assert_eq!(ShareLink::parse(&bare).unwrap().network, None);
    assert!(!format!("{:?}", link()).contains("QkJC"));
}

/// Each way of damaging a link has its own words. Covers: B10, C3.
#[test]
fn damage_is_named() {
    let text = link().to_text(&HERE);
    let (place, key) = text.split_once('#').unwrap();
    let parse = |text: &str| ShareLink::parse(text).unwrap_err();
    for other in ["", "hello", "https://example.org/x", "magnet:?xt=urn"] {
        assert_eq!(parse(other), InvalidLink::NotALink, "{other}");
    }
    assert_eq!(parse(&text[..30]), InvalidLink::Truncated);
    assert_eq!(
        parse("watt:QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5oQmT78zSuBmuS4z#x"),
        InvalidLink::Manifest
    );
    for missing in [
        place.to_string(),
        format!("{place}#"),
        place[..place.len() - 3].to_string(),
    ] {
        assert_eq!(parse(&missing), InvalidLink::KeyMissing, "{missing}");
    }
    assert_eq!(
        parse(&text[..text.len() - 1]),
        InvalidLink::KeyTruncated { digits: 42 }
    );
    assert_eq!(parse(&format!("{text}x")), InvalidLink::KeyDamaged);
    assert_eq!(
        parse(&format!("{place}#{}", key.replacen('Q', "+", 1))),
        InvalidLink::KeyDamaged
    );
    // The last digit of a key has two bits that are always zero.
    let last = format!("{}J", &text[..text.len() - 1]);
    assert_eq!(parse(&last), InvalidLink::KeyDamaged);
    let found = String::from("2");
    assert_eq!(
        parse(&text.replace("v=1", "v=2")),
        InvalidLink::WrongVersion { found }
    );
    assert_eq!(parse(&text.replace("v=1&", "")), InvalidLink::VersionMissing);
    assert_eq!(
        parse(&text.replace("n=abababab", "n=+bababab")),
        InvalidLink::Network
    );
}

/// A link of another network is recognised before anything is looked for. Covers: I3.
#[test]
fn another_network_is_recognised() {
    let other = NetworkId::new([1; 32]);
    let link = ShareLink::parse(&link().to_text(&HERE)).unwrap();
    assert_eq!(link.check_network(&HERE), Ok(()));
    let (link_hint, here) = (NetworkHint::of(&HERE), NetworkHint::of(&other));
    assert_eq!(
        link.check_network(&other),
        Err(OtherNetwork {
            link: link_hint,
            here
        })
    );
}

proptest! {
    /// Every key has one spelling. Covers: C3.
    #[test]
    fn any_key_round_trips(bytes in any::<[u8; 32]>()) {
        let link = ShareLink::new(Cid::of_block(b"x"), &HERE, crate::FileKey::from_bytes(bytes));
        let back = ShareLink::parse(&link.to_text(&HERE)).unwrap();
        prop_assert_eq!(back.key.expose(), &bytes);
    }
}
