//! A file as its owner knows it: what was put, and how it is read again.

use crate::luck::Luck;
use anyhow::{Context as _, Result, ensure};
use std::collections::BTreeMap;
use watt_content::encoder::BundleRoots;
use watt_content::reader::FileReader;
use watt_content::{BundleDecoder, CellsPass, FileInfo, FileKey, FileName, FilePlan, Manifest, RootsPass};
use watt_primitives::class::Class;
use watt_primitives::terms::BundleTerms;

/// A file of one bundle.
pub struct File {
    plain: Vec<u8>,
    key: FileKey,
    roots: BundleRoots,
    manifest: Manifest,
    /// The slots to place, in index order.
    pub slots: Vec<Vec<u8>>,
}

impl File {
    /// Encrypts and encodes `len` bytes drawn by lot, with the real encoder.
    ///
    /// # Errors
    /// The length is none that one bundle holds.
    pub fn draw(len: usize, luck: &mut Luck) -> Result<Self> {
        let mut plain = vec![0; len];
        for chunk in plain.chunks_mut(8) {
            let bytes = luck.number().to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
        let mut secret = [0; FileKey::LEN];
        for chunk in secret.chunks_mut(8) {
            chunk.copy_from_slice(&luck.number().to_le_bytes());
        }
        let key = FileKey::from_bytes(secret);
        let class = Class::Devnet;
        let plan = FilePlan::new(class, u64::try_from(len)?)?;
        ensure!(plan.bundle_count() == 1, "the file has more than one bundle");
        let mut pass = RootsPass::new(&plan, 0, &key)?;
        pass.push(&plain)?;
        let roots = pass.finish()?;
        let info = FileInfo {
            name: FileName::from_lossy("file"),
            len: u64::try_from(len)?,
            mtime: None,
        };
        let manifest = Manifest::new(std::slice::from_ref(&roots.header), &info, &key)?;
        let indices: Vec<u8> = (0..class.n()).collect();
        let mut slots = vec![Vec::new(); indices.len()];
        let mut cells = CellsPass::new(&plan, 0, &key, &indices, &roots.outboards)?;
        let mut rest: &[u8] = &plain;
        loop {
            let taken = if rest.is_empty() { 0 } else { cells.push(rest)? };
            rest = rest.get(taken..).unwrap_or_default();
            let Some(row) = cells.next_row()? else {
                if rest.is_empty() {
                    break;
                }
                continue;
            };
            for (slot, cell) in row.cells() {
                slots[usize::from(slot)].extend_from_slice(cell);
            }
        }
        cells.finish()?;
        Ok(Self {
            plain,
            key,
            roots,
            manifest,
            slots,
        })
    }

    /// What the network is asked to store.
    #[must_use]
    pub fn terms(&self) -> BundleTerms {
        self.roots.terms(self.manifest.cid())
    }

    /// Reads the file again from slots that holders gave, as a stranger with the link does, and compares.
    ///
    /// # Errors
    /// The bytes are not the file.
    pub fn read_back(&self, held: &BTreeMap<u8, &[u8]>) -> Result<()> {
        let header = self.roots.header.clone();
        let mut decoder = BundleDecoder::new(header.clone(), self.roots.slot_roots.clone())?;
        let cell_bytes = usize::try_from(header.class().cell_bytes())?;
        for slot in held.keys() {
            let outboard = self
                .roots
                .outboards
                .get(usize::from(*slot))
                .context("no such slot")?;
            decoder.add_outboard(*slot, outboard.cells().to_vec())?;
        }
        let mut reader = FileReader::new(&self.manifest, vec![header], &self.key)?.whole();
        let mut plain = Vec::new();
        while let Some((_, row)) = reader.next_row() {
            let start = usize::try_from(row)? * cell_bytes;
            let mut cells = Vec::new();
            for (slot, bytes) in held {
                let cell = bytes
                    .get(start..start + cell_bytes)
                    .context("a slot is too short")?;
                cells.push(decoder.verify_cell(*slot, row, cell)?);
            }
            let mut sealed = Vec::new();
            decoder.decode_row(row, &cells, &mut sealed)?;
            reader.push_row(&sealed, &mut plain)?;
        }
        reader.finish()?;
        ensure!(
            plain.get(..self.plain.len()) == Some(&self.plain),
            "the bytes are not the file"
        );
        Ok(())
    }
}
