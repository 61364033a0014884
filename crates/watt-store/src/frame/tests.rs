use super::*;

const KIND_A: Kind = *b"aaaa";

fn file_with(payloads: &[&[u8]]) -> (FileHeader, Vec<u8>) {
    let header = FileHeader::new(KIND_A, 7).unwrap();
    let mut bytes = header.encode().to_vec();
    for payload in payloads {
        let at = bytes.len();
        header.push_frame(&mut bytes, at, &[payload]);
    }
    (header, bytes)
}

fn found<'a>(scan: &Scan, bytes: &'a [u8]) -> Vec<&'a [u8]> {
    scan.frames
        .iter()
        .map(|(_, payload)| &bytes[payload.clone()])
        .collect()
}

#[test]
fn a_file_of_another_kind_or_with_one_wrong_bit_is_not_opened() {
    let (header, bytes) = file_with(&[]);
    assert_eq!(FileHeader::decode(&bytes, KIND_A), Some(header));
    assert_eq!(FileHeader::decode(&bytes, *b"bbbb"), None);
    assert_eq!(FileHeader::decode(&bytes[..FILE_HEADER_BYTES - 1], KIND_A), None);
    for bit in 0..FILE_HEADER_BYTES * 8 {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(FileHeader::decode(&bad, KIND_A), None, "bit {bit}");
    }
}

/// One wrong bit anywhere loses that frame and no other, and is told as a gap or as a torn end.
#[test]
fn each_flipped_bit_costs_its_own_frame_only() {
    let payloads: [&[u8]; 3] = [b"first", b"", b"the third one"];
    let (header, bytes) = file_with(&payloads);
    for bit in FILE_HEADER_BYTES * 8..bytes.len() * 8 {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let scan = scan(&header, &bad);
        let found = found(&scan, &bad);
        if found.len() == 3 {
            assert_eq!(found, payloads, "bit {bit} is padding");
            continue;
        }
        assert_eq!(found.len(), 2, "bit {bit}");
        assert!(found.iter().all(|payload| payloads.contains(payload)));
        assert_eq!(scan.gaps.len() + usize::from(scan.torn_bytes > 0), 1, "bit {bit}");
    }
}

/// Bytes that a peer chose can't pass as a frame: he does not know the file's salt.
#[test]
fn a_frame_of_another_file_inside_a_payload_is_not_a_frame() {
    let (_, other) = file_with(&[b"forged"]);
    let (header, mut bytes) = file_with(&[&other[FILE_HEADER_BYTES..], b"real"]);
    let at = FILE_HEADER_BYTES;
    bytes[at] ^= 1;
    let scan = scan(&header, &bytes);
    assert_eq!(found(&scan, &bytes), [b"real"]);
    assert_eq!(scan.gaps.len(), 1);
}

/// A frame that stood elsewhere does not count: its digest covers its place.
#[test]
fn a_frame_at_another_place_is_not_a_frame() {
    let (header, bytes) = file_with(&[b"moved"]);
    let mut shifted = bytes[..FILE_HEADER_BYTES].to_vec();
    shifted.extend_from_slice(&[0; 8]);
    shifted.extend_from_slice(&bytes[FILE_HEADER_BYTES..]);
    assert!(scan(&header, &shifted).frames.is_empty());
}
