use super::*;
use crate::SlotRoots;
use crate::cipher::{Cipher, DamagedRecord, WrongKey};
use crate::decoder::{InvalidCell, RefusedOutboard};
use crate::header::{InvalidHeader, InvalidSlotRoots, UncheckedHeader};
use crate::manifest::{InvalidFileName, InvalidInfo, InvalidManifest, UncheckedManifest};
use crate::outboard::{InvalidOutboard, WrongCell};
use crate::reader::{OpenError, ReadError};
use proptest::prelude::*;
use std::string::String;
use watt_primitives::{BoundedVec, Hash, codec};

const ROW: usize = 64 * 1024;

fn rows_of(stored: &Stored) -> Vec<Vec<u8>> {
    let mut decoders = stored.decoders(&[0, 1, 2, 3]);
    let rows = stored.open().rows_for_range(0, u64::MAX);
    let rows = rows
        .into_iter()
        .flat_map(|part| part.rows.map(move |row| (part.bundle, row)));
    rows.map(|(bundle, row)| {
        stored
            .row(&mut decoders[bundle], bundle, row, &[0, 1, 2, 3])
            .unwrap()
    })
    .collect()
}

fn read_rows(stored: &Stored, rows: &[Vec<u8>]) -> Result<Vec<u8>, ReadError> {
    let mut reader = stored.open().range(0, u64::MAX);
    let mut plain = Vec::new();
    rows.iter().try_for_each(|row| reader.push_row(row, &mut plain))?;
    reader.finish()?;
    Ok(plain)
}

/// Another key is refused by the header's commitment, before anything is decrypted. Covers: C3.
#[test]
fn another_key_is_refused() {
    let stored = put(&sample(ROW), 8, ROW);
    let other = FileKey::from_bytes([7; 32]);
    let headers: Vec<Header> = stored.roots.iter().map(|roots| roots.header.clone()).collect();
    assert_eq!(headers[0].check_key(&other), Err(WrongKey));
    assert_eq!(
        FileReader::new(&stored.manifest, headers, &other).unwrap_err(),
        OpenError::WrongKey(WrongKey)
    );
    assert_eq!(stored.manifest.open(&other), Err(InvalidInfo::WrongKey(WrongKey)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// A flipped bit in any cell is caught at that cell, and one in a rebuilt row at its record. Covers: C2, C5.
    #[test]
    fn a_flipped_bit_is_caught(slot in 0u8..10, at in 0usize..16_384, bit in 0u8..8, row in 0u64..3) {
        let plain = sample(2 * ROW + 999);
        let stored = put(&plain, 8, ROW);
        let decoder = &stored.decoders(&(0..10).collect::<Vec<u8>>())[0];
        let mut cell = stored.cell(0, slot, row).to_vec();
        prop_assert!(decoder.verify_cell(slot, row, &cell).is_ok());
        cell[at] ^= 1 << bit;
        let source = WrongCell { row };
        prop_assert_eq!(decoder.verify_cell(slot, row, &cell).unwrap_err(), InvalidCell::Wrong { slot, source });

        let mut rows = rows_of(&stored);
        let row = &mut rows[usize::try_from(row).unwrap()];
        let at = at % row.len();
        row[at] ^= 1 << bit;
        prop_assert!(read_rows(&stored, &rows).is_err());
    }

    /// Any changed bit of a header, a slot-root list or a manifest gives another object or none. Covers: C2.
    #[test]
    fn a_flipped_bit_in_an_object_is_another_object(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let stored = put(&sample(ROW), 8, ROW);
        let roots = &stored.roots[0];
        let flip = |bytes: Vec<u8>| {
            let mut bytes = bytes;
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            bytes
        };
        if let Ok(header) = Header::decode(&flip(roots.header.encode())) {
            prop_assert_ne!(header.cid(), roots.header.cid());
        }
        prop_assert!(SlotRoots::decode(&flip(roots.slot_roots.encode()), &roots.header).is_err());
        if let Ok(manifest) = Manifest::decode(&flip(stored.manifest.encode())) {
            prop_assert_ne!(manifest.cid(), stored.manifest.cid());
            prop_assert!(manifest.open(&key()).is_err());
        }
    }

    /// No bytes make a decoder panic. Covers: C5.
    #[test]
    fn arbitrary_bytes_are_only_refused(bytes in prop::collection::vec(any::<u8>(), 0..700), text in ".{0,200}") {
        let stored = put(&[], 8, 1);
        prop_assert!(Header::decode(&bytes).is_err());
        prop_assert!(Manifest::decode(&bytes).is_err());
        prop_assert!(SlotRoots::decode(&bytes, &stored.roots[0].header).is_err());
        prop_assert!(crate::ShareLink::parse(&text).is_err());
        prop_assert!(FileName::new(FileName::from_lossy(&text).as_str()).is_ok());
    }
}

/// Rows out of order, left out or cut short are noticed. Covers: C2.
#[test]
fn truncation_and_reordering_are_caught() {
    let stored = put(&sample(6 * ROW), 2, ROW);
    let rows = rows_of(&stored);
    assert_eq!(read_rows(&stored, &rows).unwrap(), sample(6 * ROW));

    let mut swapped = rows.clone();
    swapped.swap(0, 1);
    assert_eq!(
        read_rows(&stored, &swapped),
        Err(ReadError::OtherPayload { bundle: 0 })
    );
    let mut swapped = rows.clone();
    swapped.swap(0, 2);
    assert!(read_rows(&stored, &swapped).is_err());

    assert_eq!(
        read_rows(&stored, &rows[..rows.len() - 1]),
        Err(ReadError::Unfinished)
    );
    let mut short = rows.clone();
    short[0].pop();
    let expected = u64::try_from(ROW).unwrap();
    assert_eq!(
        read_rows(&stored, &short),
        Err(ReadError::RowLength {
            found: ROW - 1,
            expected
        })
    );
    let longer = [rows.as_slice(), &rows[..1]].concat();
    assert_eq!(read_rows(&stored, &longer), Err(ReadError::NoRowDue));
}

/// A manifest that leaves out a bundle, or gives them in another order, opens for nobody. Covers: C2.
#[test]
fn a_manifest_cannot_be_rearranged() {
    let stored = put(&sample(6 * ROW), 2, ROW);
    let fields: UncheckedManifest = codec::decode(&stored.manifest.encode(), 10_000).unwrap();
    let with = |bundles: Vec<crate::manifest::BundleRef>| {
        let bundles = BoundedVec::new(bundles).unwrap();
        UncheckedManifest {
            bundles,
            ..fields.clone()
        }
        .check()
    };
    let listed = stored.manifest.bundles().to_vec();
    let last = listed.len() - 1;
    match with(listed[..last].to_vec()) {
        Ok(manifest) => assert_eq!(manifest.open(&key()), Err(InvalidInfo::WrongKey(WrongKey))),
        Err(error) => assert!(matches!(error, InvalidManifest::Length { .. })),
    }
    let mut swapped = listed.clone();
    swapped.swap(0, 1);
    assert_eq!(with(swapped), Err(InvalidManifest::NotContiguous { bundle: 0 }));
    let mut headers_swapped = listed.clone();
    (headers_swapped[0].header, headers_swapped[1].header) = (listed[1].header, listed[0].header);
    assert_eq!(
        with(headers_swapped).unwrap().open(&key()),
        Err(InvalidInfo::WrongKey(WrongKey))
    );
    let mut empty = listed;
    empty[1].len = 0;
    assert_eq!(with(empty), Err(InvalidManifest::NotContiguous { bundle: 1 }));
    assert_eq!(with(Vec::new()), Err(InvalidManifest::Length { len: 0 }));
}

/// Headers given in another order than the manifest's, or too few, are refused. Covers: C2.
#[test]
fn headers_must_be_the_listed_ones() {
    let stored = put(&sample(6 * ROW), 2, ROW);
    let mut headers: Vec<Header> = stored.roots.iter().map(|roots| roots.header.clone()).collect();
    headers.swap(0, 1);
    let open = |headers| FileReader::new(&stored.manifest, headers, &key()).unwrap_err();
    assert!(matches!(
        open(headers.clone()),
        OpenError::OtherHeader { bundle: 0, .. }
    ));
    headers.pop();
    assert!(matches!(open(headers), OpenError::HeaderCount { .. }));
}

/// A header whose numbers contradict its class or each other is refused with the reason. Covers: C5.
#[test]
fn a_header_must_fit_its_class() {
    let stored = put(&sample(ROW), 8, ROW);
    let good: UncheckedHeader = codec::decode(&stored.roots[0].header.encode(), 512).unwrap();
    let check = |change: fn(&mut UncheckedHeader)| {
        let mut header = good.clone();
        change(&mut header);
        header.check().map(|_| ()).unwrap_err()
    };
    assert_eq!(check(|header| header.v = 2), InvalidHeader::Version { found: 2 });
    assert_eq!(check(|header| header.k = 3), InvalidHeader::Parameters);
    assert_eq!(check(|header| header.spare = 0), InvalidHeader::Parameters);
    assert_eq!(check(|header| header.cell = 4096), InvalidHeader::Parameters);
    assert_eq!(
        check(|header| header.rows = 0),
        InvalidHeader::Rows {
            rows: 0,
            rows_max: 1984
        }
    );
    assert_eq!(
        check(|header| header.rows = 1985),
        InvalidHeader::Rows {
            rows: 1985,
            rows_max: 1984
        }
    );
    assert_eq!(
        check(|header| header.rows = 5),
        InvalidHeader::Length {
            len: good.len,
            rows: 5
        }
    );
    assert_eq!(
        check(|header| header.len = u64::MAX),
        InvalidHeader::Length {
            len: u64::MAX,
            rows: good.rows
        }
    );
}

/// Digest lists that are not the slot's are refused, and unknown slots have none. Covers: C5.
#[test]
fn an_outboard_must_be_the_slots() {
    let stored = put(&sample(3 * ROW), 8, ROW);
    let roots = &stored.roots[0];
    let mut decoder = BundleDecoder::new(roots.header.clone(), roots.slot_roots.clone()).unwrap();
    let list = roots.outboards[4].cells().to_vec();
    let short = list[1..].to_vec();
    let source = InvalidOutboard::Count {
        found: short.len(),
        rows: roots.header.rows(),
    };
    assert_eq!(
        decoder.add_outboard(4, short),
        Err(RefusedOutboard::Invalid { slot: 4, source })
    );
    let source = InvalidOutboard::OtherRoot;
    assert_eq!(
        decoder.add_outboard(5, list.clone()),
        Err(RefusedOutboard::Invalid { slot: 5, source })
    );
    assert_eq!(
        decoder.add_outboard(14, list),
        Err(RefusedOutboard::NoSlot { slot: 14 })
    );
    let cell = stored.cell(0, 4, 0);
    assert_eq!(
        decoder.verify_cell(4, 0, cell).unwrap_err(),
        InvalidCell::NoOutboard { slot: 4 }
    );
    assert_eq!(
        decoder.verify_cell(14, 0, cell).unwrap_err(),
        InvalidCell::NoSlot { slot: 14 }
    );
}

/// Cells of other rows or bundles do not mix, and three cells are too few. Covers: C5.
#[test]
fn foreign_cells_do_not_mix() {
    let stored = put(&sample(6 * ROW), 2, ROW);
    let all: Vec<u8> = (0..10).collect();
    let mut decoders = stored.decoders(&all);
    let (first, second) = decoders.split_at_mut(1);
    let cells: Vec<_> = (0..4)
        .map(|slot| first[0].verify_cell(slot, 1, stored.cell(0, slot, 1)).unwrap())
        .collect();
    let mut out = Vec::new();
    assert_eq!(
        second[0].decode_row(1, &cells, &mut out),
        Err(RowError::Foreign { row: 1, slot: 0 })
    );
    assert_eq!(
        first[0].decode_row(0, &cells, &mut out),
        Err(RowError::Foreign { row: 0, slot: 0 })
    );
    let twice = [cells[0], cells[1], cells[2], cells[2]];
    assert_eq!(
        first[0].decode_row(1, &twice, &mut out),
        Err(RowError::NotEnough {
            row: 1,
            have: 3,
            need: 4
        })
    );
    assert!(out.is_empty());
}

/// An uploader who commits to slots that are no codeword is found out: by the data slots' digests at the row, by the record
/// without them, and by the payload root when only that lies. Covers: C5.
#[test]
fn inconsistent_spare_roots_repair() {
    let mut stored = put(&sample(2 * ROW), 8, ROW);
    let header = &stored.roots[0].header;
    let (class, len, payload) = (header.class(), header.sealed_len(), *header.payload());
    // One byte of the content, and one of the zeros that fill the last row.
    stored.slots[0][7][100] ^= 1;
    stored.slots[0][7][40_000] ^= 1;
    let lie = &stored.slots[0][7];
    let cells: Vec<Hash> = {
        let mut hasher = watt_primitives::slot_tree::SlotHasher::new();
        hasher.update(lie);
        hasher.finish()
    };
    let mut roots = stored.roots[0].slot_roots.as_slice().to_vec();
    roots[7] = Hash::of_content(lie);
    let roots = SlotRoots::new(BoundedVec::new(roots).unwrap());
    let make = |payload| {
        let cipher = Cipher::ChaCha20Poly1305;
        Header::of_bundle(class, len, cipher, key().commitment(), payload, &roots).unwrap()
    };
    stored.roots[0].header = make(payload);
    stored.roots[0].slot_roots = roots.clone();
    stored.roots[0].outboards[7] =
        Outboard::check(&Hash::of_content(lie), header_rows(&stored), cells).unwrap();
    stored.manifest = Manifest::new(&[stored.roots[0].header.clone()], &info(2 * ROW), &key()).unwrap();

    // With the digests of the data slots the reader sees at once that no holder is to blame.
    let mut decoder = stored.decoders(&[0, 1, 2, 3, 4, 5, 7]).remove(0);
    let found = stored.row(&mut decoder, 0, 0, &[4, 5, 7, 0]);
    assert_eq!(found, Err(RowError::Inconsistent { row: 0, slot: 1 }));
    // Without them the record does not open, and the fill is not zero.
    let lying = [4, 5, 7, 8];
    let mut decoder = stored.decoders(&lying).remove(0);
    let mut reader = stored.open().range(0, 10);
    let mut plain = Vec::new();
    let rows = [0, 1].map(|row| stored.row(&mut decoder, 0, row, &lying).unwrap());
    reader.push_row(&rows[0], &mut plain).unwrap();
    assert_eq!(
        reader.push_row(&rows[1], &mut plain),
        Err(ReadError::Damaged(DamagedRecord { record: 0 }))
    );
    let last = stored.row(&mut decoder, 0, 2, &lying);
    assert_eq!(last, Err(RowError::Inconsistent { row: 2, slot: 0 }));
    // Honest cells still give the file.
    assert_eq!(
        stored.read(stored.open().whole(), &[0, 4, 8, 9]).unwrap(),
        sample(2 * ROW)
    );

    stored.roots[0].header = make(Hash::ZERO);
    stored.manifest = Manifest::new(&[stored.roots[0].header.clone()], &info(2 * ROW), &key()).unwrap();
    assert_eq!(
        stored.read(stored.open().whole(), &[0, 4, 8, 9]),
        Err(ReadError::OtherPayload { bundle: 0 })
    );
}

fn header_rows(stored: &Stored) -> u64 {
    stored.roots[0].header.rows()
}

/// A list of slot roots of another bundle is refused. Covers: C5.
#[test]
fn slot_roots_must_be_the_headers() {
    let (one, other) = (put(&sample(10), 8, ROW), put(&sample(11), 8, ROW));
    let header = &one.roots[0].header;
    assert_eq!(
        SlotRoots::decode(&other.roots[0].slot_roots.encode(), header),
        Err(InvalidSlotRoots::Other)
    );
    let short = SlotRoots::new(BoundedVec::new(std::vec![Hash::ZERO; 13]).unwrap());
    assert_eq!(
        short.check(header),
        Err(InvalidSlotRoots::Count {
            found: 13,
            expected: 14
        })
    );
}

/// A sealed record opens only at its place and only as the last if it was. Covers: C3.
#[test]
fn a_record_is_bound_to_its_place() {
    let cipher = crate::cipher::RecordCipher::new(Cipher::ChaCha20Poly1305, &key());
    let mut sealed = sample(100);
    cipher.seal(5, true, &mut sealed);
    for (record, is_last) in [(5, false), (4, true), (6, true)] {
        assert_eq!(
            cipher.open(record, is_last, &mut sealed.clone()),
            Err(DamagedRecord { record })
        );
    }
    cipher.open(5, true, &mut sealed).unwrap();
    assert_eq!(sealed, sample(100));
}

/// Names cannot lead elsewhere; lossy names are always usable. Covers: C3.
#[test]
fn file_names_are_safe() {
    for bad in [
        "",
        ".",
        "..",
        "a/b",
        "a\\b",
        "..\\x",
        "a\nb",
        "a\0",
        "x\u{202e}gpj.exe",
        &"a".repeat(256),
    ] {
        assert_eq!(FileName::new(bad), Err(InvalidFileName), "{bad:?}");
    }
    for good in ["a", "...", "a b", "写真.jpg", &"a".repeat(255)] {
        assert_eq!(FileName::new(good).unwrap().as_str(), good);
    }
    let long: String = std::iter::repeat_n('写', 100).collect();
    assert_eq!(FileName::from_lossy(&long).as_str(), &long[..255]);
    assert_eq!(FileName::from_lossy("../x").as_str(), ".._x");
    assert_eq!(FileName::from_lossy("..").as_str(), "file");
}

/// The longest name and the extreme numbers still fit the fixed sealed part, so that its length tells nothing. Covers: C3.
#[test]
fn the_sealed_part_has_one_length() {
    let stored = put(&[], 8, 1);
    let headers = [stored.roots[0].header.clone()];
    for name in ["a".repeat(255), String::from("a")] {
        let info = FileInfo {
            name: FileName::new(&name).unwrap(),
            len: 0,
            mtime: Some(i64::MIN),
        };
        let manifest = Manifest::new(&headers, &info, &key()).unwrap();
        assert_eq!(manifest.open(&key()), Ok(info));
        assert_eq!(manifest.encode().len(), stored.manifest.encode().len());
    }
}

/// A manifest whose true length does not belong to its ciphertext is refused. Covers: C2.
#[test]
fn the_true_length_must_fit() {
    let stored = put(&sample(5_000), 8, ROW);
    let headers = [stored.roots[0].header.clone()];
    let manifest = Manifest::new(&headers, &info(9_000), &key()).unwrap();
    assert_eq!(manifest.open(&key()), Err(InvalidInfo::Length { len: 9_000 }));
}

/// A manifest of as many bundles as allowed fits its bound, and so one block of 1 MiB. Covers: C2.
#[test]
fn the_largest_manifest_fits() {
    let stored = put(&[], 8, 1);
    let fields: UncheckedManifest = codec::decode(&stored.manifest.encode(), 10_000).unwrap();
    let header = stored.roots[0].header.cid();
    let len = 1u64 << 31;
    let bundles = (0..8192u64).map(|i| crate::manifest::BundleRef {
        header,
        offset: i * len,
        len,
    });
    let bundles = BoundedVec::new(bundles.collect()).unwrap();
    let encoding = codec::encode(&UncheckedManifest { bundles, ..fields });
    assert!(
        encoding.len() <= crate::manifest::MANIFEST_BYTES_MAX,
        "{}",
        encoding.len()
    );
    const { assert!(crate::manifest::MANIFEST_BYTES_MAX < 1 << 20) };
}

/// Ciphertext lengths that no file gives are refused: nothing, half a record, a tag without a record. Covers: C5.
#[test]
fn impossible_stream_lengths_are_refused() {
    use crate::layout::StreamLen;
    for len in [
        0,
        1,
        16,
        17,
        4096,
        4113,
        65_552 + 1,
        65_552 + 16,
        65_552 + 17,
        u64::MAX,
    ] {
        assert_eq!(StreamLen::of_sealed(len), None, "{len}");
    }
    for len in [4096 + 16, 65_552, 65_552 + 4096 + 16] {
        assert_eq!(StreamLen::of_sealed(len).map(StreamLen::sealed), Some(len));
    }
}
