use super::*;
use crate::disk::sim::SimDisk;

const DIR: &str = "/c/values";

fn open(disk: &SimDisk) -> Result<Kv, KvError> {
    Kv::open_on(disk.shared(), Path::new(DIR))
}

/// A value is the old one or the new one, whenever the power fails. Covers: C1.
#[test]
fn a_value_is_never_half_written() {
    for at in 0.. {
        let mut is_through = false;
        for seed in 0..12 {
            let disk = SimDisk::new();
            let kv = open(&disk).unwrap();
            kv.put("put-1", &[1; 3000]).unwrap();
            disk.fail_after(at);
            let acknowledged = kv.put("put-1", &[2; 5000]).is_ok();
            is_through = !disk.has_failed();
            disk.come_back(seed);
            let kv = open(&disk).unwrap();
            let found = kv.get("put-1").unwrap().unwrap();
            assert!(
                found == [2; 5000] || (!acknowledged && found == [1; 3000]),
                "cut {at}, seed {seed}"
            );
            assert_eq!(kv.names().unwrap(), ["put-1"], "no unfinished file stays");
        }
        if is_through {
            return;
        }
    }
}

#[test]
fn rot_is_reported() {
    let disk = SimDisk::new();
    let kv = open(&disk).unwrap();
    kv.put("a", b"value").unwrap();
    let path = kv.path("a").unwrap();
    for bit in 0..disk.bytes(&path).len() * 8 {
        disk.flip_bit(&path, bit);
        assert!(matches!(kv.get("a"), Err(KvError::Damaged { .. })), "bit {bit}");
        disk.flip_bit(&path, bit);
    }
    // A file under another name is another value.
    kv.put("b", b"other").unwrap();
    disk.rename(&path, &kv.path("b").unwrap()).unwrap();
    assert!(matches!(kv.get("b"), Err(KvError::Damaged { .. })));
}

#[test]
fn names_are_the_same_file_everywhere() {
    let disk = SimDisk::new();
    let kv = open(&disk).unwrap();
    let long = "x".repeat(NAME_LEN_MAX + 1);
    for name in ["", "A", "a/b", "..", "a.b", "\u{e9}", &long] {
        assert!(
            matches!(kv.put(name, b""), Err(KvError::BadName { .. })),
            "{name}"
        );
    }
    kv.put(&long[1..], b"").unwrap();
    assert_eq!(kv.get("absent").unwrap(), None);
    kv.remove("absent").unwrap();
    kv.remove(&long[1..]).unwrap();
    assert!(kv.names().unwrap().is_empty());
}

#[test]
fn a_full_disk_keeps_the_old_value() {
    let disk = SimDisk::new();
    let kv = open(&disk).unwrap();
    kv.put("a", b"old").unwrap();
    disk.set_capacity(Some(50));
    assert!(matches!(kv.put("a", &[7; 100]), Err(KvError::Disk(error)) if error.is_disk_full()));
    assert_eq!(kv.get("a").unwrap().unwrap(), b"old");
}
