//! Whole files through put and get.

mod file;
mod hostile;
mod link;
mod vectors;

use crate::decoder::RowError;
use crate::{
    BundleDecoder, BundleRoots, CellsPass, FileInfo, FileKey, FileName, FilePlan, FileReader, Header,
    Manifest, Outboard, RangeReader, RootsPass,
};
use std::vec;
use std::vec::Vec;
use watt_primitives::class::Class;

/// A stored file: what the network would hold, and what the link leads to.
pub(super) struct Stored {
    pub(super) plan: FilePlan,
    pub(super) roots: Vec<BundleRoots>,
    /// Per bundle, per slot below `n`: its bytes.
    pub(super) slots: Vec<Vec<Vec<u8>>>,
    pub(super) manifest: Manifest,
}

pub(super) fn key() -> FileKey {
    FileKey::from_bytes([0x42; 32])
}

pub(super) fn sample(len: usize) -> Vec<u8> {
    (0..len)
        .map(|i| u8::try_from((i * 31 + i / 251) % 251).unwrap())
        .collect()
}

pub(super) fn info(len: usize) -> FileInfo {
    FileInfo {
        name: FileName::new("holiday.jpg").unwrap(),
        len: u64::try_from(len).unwrap(),
        mtime: Some(1_700_000_000_000),
    }
}

/// Feeds `plain` in pieces of `step` bytes to the first pass over each bundle.
pub(super) fn first_pass(plan: &FilePlan, plain: &[u8], step: usize) -> Vec<BundleRoots> {
    let bundles = plan.bundles().map(|bundle| {
        let mut pass = RootsPass::new(plan, bundle.index, &key()).unwrap();
        let range = slice(plain, bundle.plain.start, bundle.plain.end);
        range.chunks(step).for_each(|piece| pass.push(piece).unwrap());
        pass.finish().unwrap()
    });
    bundles.collect()
}

/// The second pass over one bundle: the bytes of each of `slots`.
pub(super) fn second_pass(
    plan: &FilePlan,
    plain: &[u8],
    step: usize,
    bundle: usize,
    slots: &[u8],
    outboards: &[Outboard],
) -> Result<Vec<Vec<u8>>, crate::encoder::EncodeError> {
    let mut pass = CellsPass::new(plan, bundle, &key(), slots, outboards)?;
    let range = plan.bundle(bundle).unwrap().plain;
    let mut bytes = vec![Vec::new(); slots.len()];
    let mut take = |pass: &mut CellsPass| -> Result<(), crate::encoder::EncodeError> {
        while let Some(row) = pass.next_row()? {
            let cells = row.cells();
            cells
                .zip(&mut bytes)
                .for_each(|((_, cell), slot)| slot.extend_from_slice(cell));
        }
        Ok(())
    };
    for mut piece in slice(plain, range.start, range.end).chunks(step) {
        while !piece.is_empty() {
            let taken = pass.push(piece)?;
            piece = &piece[taken..];
            take(&mut pass)?;
        }
    }
    take(&mut pass)?;
    pass.finish()?;
    Ok(bytes)
}

pub(super) fn slice(plain: &[u8], start: u64, end: u64) -> &[u8] {
    &plain[usize::try_from(start).unwrap()..usize::try_from(end).unwrap()]
}

/// Puts a file in bundles of at most `rows_max` rows, feeding `step` bytes at a time.
pub(super) fn put(plain: &[u8], rows_max: u64, step: usize) -> Stored {
    let class = Class::Devnet;
    let plan = FilePlan::with_rows_max(class, rows_max, u64::try_from(plain.len()).unwrap()).unwrap();
    let roots = first_pass(&plan, plain, step);
    let all: Vec<u8> = (0..class.n()).collect();
    let slots = plan.bundles().zip(&roots).map(|(bundle, roots)| {
        second_pass(&plan, plain, step, bundle.index, &all, &roots.outboards[..4]).unwrap()
    });
    let slots = slots.collect();
    let headers: Vec<Header> = roots.iter().map(|roots| roots.header.clone()).collect();
    let manifest = Manifest::new(&headers, &info(plain.len()), &key()).unwrap();
    Stored {
        plan,
        roots,
        slots,
        manifest,
    }
}

impl Stored {
    /// What a reader finds when only these slots are still there.
    pub(super) fn decoders(&self, alive: &[u8]) -> Vec<BundleDecoder> {
        let bundles = self.roots.iter().map(|roots| {
            let header = Header::decode(&roots.header.encode()).unwrap();
            let list = crate::SlotRoots::decode(&roots.slot_roots.encode(), &header).unwrap();
            let mut decoder = BundleDecoder::new(header, list).unwrap();
            for slot in alive {
                let cells = roots.outboards[usize::from(*slot)].cells().to_vec();
                decoder.add_outboard(*slot, cells).unwrap();
            }
            decoder
        });
        bundles.collect()
    }

    pub(super) fn cell(&self, bundle: usize, slot: u8, row: u64) -> &[u8] {
        let start = row * Class::Devnet.cell_bytes();
        slice(
            &self.slots[bundle][usize::from(slot)],
            start,
            start + Class::Devnet.cell_bytes(),
        )
    }

    /// One row from the slots `alive`.
    pub(super) fn row(
        &self,
        decoder: &mut BundleDecoder,
        bundle: usize,
        row: u64,
        alive: &[u8],
    ) -> Result<Vec<u8>, RowError> {
        let cells = alive.iter().map(|slot| (*slot, self.cell(bundle, *slot, row)));
        let cells: Vec<_> = cells
            .map(|(slot, bytes)| decoder.verify_cell(slot, row, bytes).unwrap())
            .collect();
        let mut sealed = Vec::new();
        decoder.decode_row(row, &cells, &mut sealed)?;
        Ok(sealed)
    }

    pub(super) fn open(&self) -> FileReader {
        let manifest = Manifest::decode(&self.manifest.encode()).unwrap();
        let headers = self.roots.iter().map(|roots| roots.header.clone()).collect();
        FileReader::new(&manifest, headers, &key()).unwrap()
    }

    /// Drives a read to its end with the slots `alive`.
    pub(super) fn read(
        &self,
        mut reader: RangeReader,
        alive: &[u8],
    ) -> Result<Vec<u8>, crate::reader::ReadError> {
        let mut decoders = self.decoders(alive);
        let mut plain = Vec::new();
        while let Some((bundle, row)) = reader.next_row() {
            let sealed = self.row(&mut decoders[bundle], bundle, row, alive).unwrap();
            reader.push_row(&sealed, &mut plain)?;
        }
        reader.finish()?;
        Ok(plain)
    }
}
