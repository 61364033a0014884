//! Speed of put and get on one thread, as JSON lines: `cargo bench -p watt-content`.
//!
//! The best of several runs is printed: what else the machine does can only make a run slower.

use std::hint::black_box;
use std::io::Write;
use watt_content::decoder::VerifiedCell;
use watt_content::erasure::Code;
use watt_content::{
    BundleDecoder, BundleRoots, CellsPass, FileInfo, FileKey, FileName, FilePlan, FileReader, Manifest,
    RootsPass,
};
use watt_primitives::class::Class;
use watt_primitives::slot_tree::group_digest;

const MIB: usize = 1 << 20;
const FILE_BYTES: usize = 64 * MIB;
const PIECE_BYTES: usize = MIB;
const RUNS: usize = 7;

fn main() {
    let plain: Vec<u8> = (0..FILE_BYTES)
        .map(|i| i.to_le_bytes()[0] ^ i.to_le_bytes()[1])
        .collect();
    let key = FileKey::from_bytes([7; 32]);
    let plan = FilePlan::new(Class::Devnet, u64::try_from(FILE_BYTES).expect("fits")).expect("fits");
    let roots = first_pass(&plan, &key, &plain);

    report("encode", "roots 4/14", FILE_BYTES, || {
        black_box(first_pass(&plan, &key, &plain));
    });
    report("encode", "4/10", FILE_BYTES, || {
        encrypt_encode_hash(&plan, &key, &plain, &roots);
    });
    for (case, alive) in [("4 parity", [6, 7, 8, 9]), ("4 data", [0, 1, 2, 3])] {
        let slots = slots_of(&plan, &key, &plain, &roots, &alive);
        report("reconstruct", case, FILE_BYTES, || {
            read(&key, &roots, &alive, &slots);
        });
    }
    for (case, k, first, end) in [("rs 4/10", 4, 4, 10), ("rs 32/80", 32, 32, 80)] {
        rows_only(case, k, &(first..end).collect::<Vec<u8>>());
    }
}

#[allow(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn report(bench: &str, case: &str, bytes: usize, mut run: impl FnMut()) {
    let seconds = (0..RUNS).map(|_| {
        let start = std::time::Instant::now();
        run();
        start.elapsed().as_secs_f64()
    });
    let best = seconds.fold(f64::INFINITY, f64::min);
    let mib = f64::from(u32::try_from(bytes / MIB).expect("fits"));
    let value = mib / best;
    writeln!(
        std::io::stdout(),
        r#"{{"bench":"{bench}","case":"{case}","metric":"mib_per_s","value":{value:.1},"unit":"MiB/s"}}"#
    )
    .expect("standard output is open");
}

fn first_pass(plan: &FilePlan, key: &FileKey, plain: &[u8]) -> BundleRoots {
    let mut pass = RootsPass::new(plan, 0, key).expect("one bundle");
    plain
        .chunks(PIECE_BYTES)
        .for_each(|piece| pass.push(piece).expect("as planned"));
    pass.finish().expect("as planned")
}

/// Feeds the second pass and shows each row.
fn second_pass(
    plan: &FilePlan,
    key: &FileKey,
    plain: &[u8],
    roots: &BundleRoots,
    slots: &[u8],
    mut show: impl FnMut(u64, u8, &[u8]),
) {
    let mut pass = CellsPass::new(plan, 0, key, slots, &roots.outboards).expect("as planned");
    let mut rest = plain;
    loop {
        let taken = pass.push(rest).expect("as planned");
        rest = &rest[taken..];
        match pass.next_row().expect("unchanged") {
            Some(row) => row.cells().for_each(|(slot, cell)| show(row.index(), slot, cell)),
            None if rest.is_empty() => break,
            None => {}
        }
    }
    pass.finish().expect("complete");
}

/// What a put costs: encrypt, encode, hash all ten slots. The pass itself hashes the data cells, to compare them.
fn encrypt_encode_hash(plan: &FilePlan, key: &FileKey, plain: &[u8], roots: &BundleRoots) {
    let rows = roots.header.rows();
    let all: Vec<u8> = (0..10).collect();
    second_pass(plan, key, plain, roots, &all, |row, slot, cell| {
        if slot >= 4 {
            black_box(group_digest(row, rows, cell));
        }
    });
}

fn slots_of(plan: &FilePlan, key: &FileKey, plain: &[u8], roots: &BundleRoots, alive: &[u8]) -> Vec<Vec<u8>> {
    let mut slots = vec![Vec::new(); alive.len()];
    second_pass(plan, key, plain, roots, alive, |_, slot, cell| {
        let position = alive.iter().position(|index| *index == slot).expect("asked for");
        slots[position].extend_from_slice(cell);
    });
    slots
}

/// What a get costs: verify the cells, rebuild the rows, hash the payload, decrypt.
fn read(key: &FileKey, roots: &BundleRoots, alive: &[u8], slots: &[Vec<u8>]) {
    let info = FileInfo {
        name: FileName::from_lossy("bench"),
        len: u64::try_from(FILE_BYTES).expect("fits"),
        mtime: None,
    };
    let headers = vec![roots.header.clone()];
    let manifest = Manifest::new(&headers, &info, key).expect("whole");
    let file = FileReader::new(&manifest, headers, key).expect("fits");
    let mut decoder = BundleDecoder::new(roots.header.clone(), roots.slot_roots.clone()).expect("fits");
    for slot in alive {
        let cells = roots.outboards[usize::from(*slot)].cells().to_vec();
        decoder.add_outboard(*slot, cells).expect("fits");
    }
    let mut reader = file.whole();
    let (mut sealed, mut out) = (Vec::new(), Vec::new());
    let cell_bytes = usize::try_from(Class::Devnet.cell_bytes()).expect("fits");
    while let Some((_, row)) = reader.next_row() {
        let start = usize::try_from(row).expect("fits") * cell_bytes;
        let cells: Vec<VerifiedCell<'_>> = alive
            .iter()
            .zip(slots)
            .map(|(slot, bytes)| {
                decoder
                    .verify_cell(*slot, row, &bytes[start..start + cell_bytes])
                    .expect("good")
            })
            .collect();
        sealed.clear();
        out.clear();
        decoder.decode_row(row, &cells, &mut sealed).expect("enough");
        reader.push_row(&sealed, &mut out).expect("good");
        black_box(&out);
    }
    reader.finish().expect("complete");
}

/// The erasure code alone.
fn rows_only(case: &str, k: u8, to: &[u8]) {
    let data: Vec<Vec<u8>> = (0..k).map(|i| vec![i.wrapping_mul(73); 16 * 1024]).collect();
    let inputs: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
    let from: Vec<u8> = (0..k).collect();
    let mixing = Code::new(k).expect("not zero").mixing(&from, to).expect("fits");
    let mut shares = vec![vec![0; 16 * 1024]; to.len()];
    report("erasure", case, FILE_BYTES, || {
        for _ in 0..FILE_BYTES / (16 * 1024 * usize::from(k)) {
            let mut outputs: Vec<&mut [u8]> = shares.iter_mut().map(Vec::as_mut_slice).collect();
            mixing.apply(&inputs, &mut outputs).expect("fits");
        }
    });
}
