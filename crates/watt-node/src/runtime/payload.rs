//! The payload of a sector as it lies in the pieces on disk, read a part at a time while it is sealed.

use std::ops::ControlFlow;
use watt_proofs::PieceTable;
use watt_proofs::seal::{PayloadRead, SealError};
use watt_store::{PieceError, PieceStore};

/// Slots from the disk, filler computed.
pub(crate) struct Payload<'a> {
    pieces: &'a PieceStore,
    table: &'a PieceTable,
    error: Option<PieceError>,
}

impl<'a> Payload<'a> {
    pub(crate) const fn new(pieces: &'a PieceStore, table: &'a PieceTable) -> Self {
        Self {
            pieces,
            table,
            error: None,
        }
    }

    /// Why sealing stopped: what was wrong with a piece, if that was it.
    pub(crate) fn why(self, error: SealError) -> anyhow::Error {
        match self.error {
            Some(of_piece) => anyhow::Error::new(of_piece).context(error),
            None => error.into(),
        }
    }

    fn try_read(&self, offset: u64, into: &mut [u8]) -> Result<bool, PieceError> {
        self.table.fill_part(offset, into);
        for part in self.table.slots_in(offset, into.len()) {
            let Some(place) = into.get_mut(part.place) else {
                return Ok(false);
            };
            let bytes = self.pieces.read(part.deal, part.slot, part.offset, place.len())?;
            if bytes.len() != place.len() {
                return Ok(false);
            }
            place.copy_from_slice(&bytes);
        }
        Ok(true)
    }
}

impl PayloadRead for Payload<'_> {
    fn read(&mut self, offset: u64, into: &mut [u8]) -> ControlFlow<()> {
        match self.try_read(offset, into) {
            Ok(true) => ControlFlow::Continue(()),
            Ok(false) => ControlFlow::Break(()),
            Err(error) => {
                self.error = Some(error);
                ControlFlow::Break(())
            }
        }
    }
}
