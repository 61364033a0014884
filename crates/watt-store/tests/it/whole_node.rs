use watt_ledger::state::{StateRead as _, Writes};
use watt_primitives::{BlockHeight, DealId, Hash, SectorNumber, SlotIndexInDeal};
use watt_store::{
    BlockStore, Folder, Journal, Kv, Opened, Origin, PieceStore, ReplicaStore, Space, StateConfig, StateDb,
};

const DEAL: DealId = DealId([5; 32]);
const SLOT: SlotIndexInDeal = SlotIndexInDeal(2);

fn writes(height: u64) -> Writes {
    Writes::from([
        (height.to_be_bytes().to_vec(), Some(vec![1; 100])),
        (b"last".to_vec(), Some(vec![2; 8])),
    ])
}

/// A node and provider on a real disk: everything written in one life is read in the next; a lost state comes back from
/// the blocks. Covers: A6, A10, C1.
#[test]
fn everything_is_there_in_the_next_life() {
    let temp = tempfile::tempdir().unwrap();
    let config = StateConfig {
        checkpoint_every: 10,
        ..StateConfig::default()
    };
    let space = Space {
        quota_bytes: 1 << 30,
        free_bytes_min: 1 << 20,
    };
    let piece: Vec<u8> = (0..9_000_000u32)
        .map(|at| u8::try_from(at % 249).unwrap())
        .collect();
    let folder = Folder::open(temp.path(), Origin::Unsaid).unwrap();
    {
        let (mut journal, _) = Journal::open(&folder.scp_dir()).unwrap();
        let blocks = BlockStore::open(&folder.blocks_dir()).unwrap();
        let (state, _) = StateDb::open(&folder.state_dir(), config).unwrap();
        for height in 0..25 {
            journal
                .append(&[format!("statement {height}").as_bytes()])
                .unwrap();
            blocks.append(BlockHeight(height), &[3; 500], b"proof").unwrap();
            state
                .commit(BlockHeight(height), b"header", &writes(height))
                .unwrap();
        }
        journal.retain(|record| record.ends_with(b"4")).unwrap();
        state.write_checkpoint().unwrap();
        let pieces = PieceStore::open(&folder.pieces_dir(), space).unwrap();
        let mut writer = pieces.begin(DEAL, SLOT, piece.len() as u64).unwrap();
        piece.chunks(65_536).for_each(|part| writer.write(part).unwrap());
        writer
            .finish(&Hash::of_content(&piece), &[b"header", b"roots", b"manifest"])
            .unwrap();
        let replicas = ReplicaStore::open(&folder.replicas_dir(), 0).unwrap();
        let mut writer = replicas.begin(SectorNumber(1), piece.len() as u64).unwrap();
        writer.write(&piece).unwrap();
        writer.finish(b"tree", b"info").unwrap();
        Kv::open(&folder.values_dir())
            .unwrap()
            .put("put-1", b"journal")
            .unwrap();
    }
    drop(folder);
    let folder = Folder::open(temp.path(), Origin::Unsaid).unwrap();
    std::fs::write(folder.state_dir().join("state.redb"), b"spoilt").unwrap();
    let (_, records) = Journal::open(&folder.scp_dir()).unwrap();
    assert_eq!(
        records,
        [
            b"statement 4".to_vec(),
            b"statement 14".to_vec(),
            b"statement 24".to_vec()
        ]
    );
    let blocks = BlockStore::open(&folder.blocks_dir()).unwrap();
    assert_eq!(blocks.head(), Some(BlockHeight(24)));
    let (state, opened) = StateDb::open(&folder.state_dir(), config).unwrap();
    assert!(
        matches!(
            opened,
            Opened::Recovered {
                from: Some(BlockHeight(24)),
                ..
            }
        ),
        "{opened:?}"
    );
    let snapshot = state.snapshot().unwrap();
    let rows = snapshot.read(|rows| rows.scan(b"", None, 100));
    assert_eq!(rows.unwrap().len(), 26);
    state.confirm_rebuilt().unwrap();
    let pieces = PieceStore::open(&folder.pieces_dir(), space).unwrap();
    assert!(pieces.read(DEAL, SLOT, 0, piece.len()).unwrap() == piece);
    assert_eq!(pieces.metadata(DEAL, SLOT).unwrap().len(), 3);
    let replicas = ReplicaStore::open(&folder.replicas_dir(), 0).unwrap();
    assert!(replicas.read(SectorNumber(1), 8_999_936, 64).unwrap() == piece[8_999_936..]);
    assert_eq!(replicas.upper_tree(SectorNumber(1)).unwrap(), b"tree");
    assert_eq!(
        Kv::open(&folder.values_dir())
            .unwrap()
            .get("put-1")
            .unwrap()
            .unwrap(),
        b"journal"
    );
}
