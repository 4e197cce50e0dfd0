use super::*;

const KEPT: Survivors = Survivors {
    bytes: Unsynced::Kept,
    entries: Unsynced::Kept,
};
const DROPPED: Survivors = Survivors {
    bytes: Unsynced::Dropped,
    entries: Unsynced::Dropped,
};

fn path(text: &str) -> &Path {
    Path::new(text)
}

/// A disk with a durable file `d/f` of these bytes, and the file.
fn disk_with(bytes: &[u8]) -> (Memory, Box<dyn File>) {
    let memory = Memory::new();
    memory.put(path("d/f"), bytes);
    let file = memory.open(path("d/f")).unwrap();
    (memory, file)
}

#[test]
fn bytes_read_back_across_pages_and_after_a_cut_they_are_zero() {
    let memory = Memory::new();
    let file = memory.create(path("f")).unwrap();
    let bytes: Vec<u8> = (0..10_000_u32).map(|n| n.to_le_bytes()[0] | 1).collect();
    file.write_at(4000, &bytes).unwrap();
    let mut read = vec![7; 10_100];
    file.read_at(3900, &mut read).unwrap();
    assert!(read[..100].iter().all(|&b| b == 0));
    assert_eq!(read[100..], bytes);
    assert!(file.read_at(3901, &mut read).is_err());
    file.set_len(5000).unwrap();
    file.set_len(9000).unwrap();
    let all = memory.bytes(path("f")).unwrap();
    assert_eq!(all.len(), 9000);
    assert_eq!(all[4000..5000], bytes[..1000]);
    assert!(all[5000..].iter().all(|&b| b == 0));
    assert_eq!(
        &memory.region(path("f"), ReadMode::Map).unwrap()[..],
        &all[..]
    );
}

#[test]
fn a_crash_keeps_what_is_synced_and_the_policy_decides_the_rest() {
    let (memory, file) = disk_with(&[1; 2048]);
    file.write_at(0, &[2; 3000]).unwrap();
    let left = |bytes| {
        let left = memory.survivors(Survivors {
            bytes,
            entries: Unsynced::Dropped,
        });
        left.bytes(path("d/f")).unwrap()
    };
    assert_eq!(left(Unsynced::Dropped), [1; 2048]);
    assert_eq!(left(Unsynced::Kept), [2; 3000]);
    // Bit 0 is the length, then come the sectors.
    let mut expected = vec![1; 2048];
    expected[512..1024].fill(2);
    assert_eq!(left(Unsynced::Subset(0b100)), expected);
    expected.resize(3000, 0);
    assert_eq!(left(Unsynced::Subset(0b101)), expected);
    let seen: BTreeSet<Vec<u8>> = (0..64).map(|seed| left(Unsynced::Torn(seed))).collect();
    assert!(
        seen.len() > 32,
        "torn writes differ by seed: {}",
        seen.len()
    );
    assert_eq!(left(Unsynced::Torn(3)), left(Unsynced::Torn(3)));
    for seed in 0..16 {
        let bytes = left(Unsynced::TornPages(seed));
        assert!(
            bytes[..2048].iter().all(|&b| b == bytes[0]),
            "a page is one unit"
        );
    }
    file.sync().unwrap();
    assert_eq!(left(Unsynced::Dropped), [2; 3000]);
}

#[test]
fn entries_are_durable_once_their_directory_is_synced() {
    let memory = Memory::new();
    memory.create_directory(path("a/b")).unwrap();
    memory.sync_directory(path("")).unwrap();
    memory.sync_directory(path("a")).unwrap();
    memory.create(path("a/b/old")).unwrap();
    memory.sync_directory(path("a/b")).unwrap();
    memory.rename(path("a/b/old"), path("a/b/new")).unwrap();
    memory.create(path("a/b/other")).unwrap();
    memory.remove(path("a/b/new")).unwrap();
    let names = |entries| {
        let left = memory.survivors(Survivors {
            bytes: Unsynced::Kept,
            entries,
        });
        left.list(path("/a/b")).unwrap()
    };
    assert_eq!(names(Unsynced::Dropped), ["old"]);
    assert_eq!(names(Unsynced::Kept), ["other"]);
    assert_eq!(names(Unsynced::Subset(0b001)), ["new"], "the rename alone");
    assert_eq!(
        names(Unsynced::Subset(0b100)),
        ["old"],
        "a removal of what is not there"
    );
    memory.sync_directory(path("a/b")).unwrap();
    assert_eq!(names(Unsynced::Dropped), ["other"]);
}

#[test]
fn a_file_in_a_directory_that_was_lost_is_lost() {
    let memory = Memory::new();
    memory.create_directory(path("a")).unwrap();
    let file = memory.create(path("a/f")).unwrap();
    file.sync().unwrap();
    memory.sync_directory(path("a")).unwrap();
    assert!(!memory.survivors(DROPPED).exists(path("a/f")).unwrap());
    assert!(memory.survivors(KEPT).exists(path("a/f")).unwrap());
    memory.sync_directory(path("")).unwrap();
    assert!(memory.survivors(DROPPED).exists(path("a/f")).unwrap());
}

#[test]
fn directories_are_renamed_and_removed_with_what_is_in_them() {
    let memory = Memory::new();
    memory.put(path("a/b/f"), b"x");
    memory.rename(path("a"), path("c")).unwrap();
    assert_eq!(memory.bytes(path("c/b/f")).unwrap(), b"x");
    assert_eq!(
        memory.survivors(DROPPED).bytes(path("a/b/f")).unwrap(),
        b"x"
    );
    memory.remove_directory(path("c")).unwrap();
    memory.remove_directory(path("c")).unwrap();
    assert_eq!(memory.list(path("")).unwrap(), [""; 0]);
    assert!(memory.create(path("c/g")).is_err(), "no such directory");
}

#[test]
fn a_failed_operation_is_the_one_that_was_chosen() {
    let (memory, file) = disk_with(b"");
    memory.fail_at(memory.operations() + 1, io::ErrorKind::QuotaExceeded);
    file.write_at(0, b"1234").unwrap();
    let error = file.write_at(4, b"5678").unwrap_err();
    assert!(error.is_full());
    assert_eq!(
        memory.bytes(path("d/f")).unwrap(),
        b"123456",
        "half was written"
    );
    file.write_at(4, b"5678").unwrap();
}

#[test]
fn a_sync_that_failed_is_not_made_good_by_the_next() {
    let (memory, file) = disk_with(&[1; 8192]);
    file.write_at(0, &[2; 8192]).unwrap();
    memory.fail_at(memory.operations(), io::ErrorKind::Other);
    assert!(file.sync().is_err());
    file.write_at(0, &[3; 4096]).unwrap();
    file.sync().unwrap();
    let durable = memory.survivors(DROPPED).bytes(path("d/f")).unwrap();
    assert_eq!(durable[..4096], [3; 4096], "written again");
    assert_eq!(durable[4096..], [1; 4096], "given up by the kernel");
}

#[test]
fn after_a_power_cut_nothing_works_and_nothing_changes() {
    let (memory, file) = disk_with(b"old");
    let lock = memory.lock(path("d")).unwrap();
    assert!(matches!(memory.lock(path("d")), Err(Error::Locked { .. })));
    memory.cut_at(memory.operations());
    assert!(file.write_at(0, b"new").is_err());
    assert!(file.sync().is_err());
    assert!(memory.remove(path("d/f")).is_err());
    assert!(memory.list(path("d")).is_err());
    let found = memory.survivors(KEPT);
    assert_eq!(found.bytes(path("d/f")).unwrap(), b"old");
    assert_eq!(found.operations(), 0);
    found.lock(path("d")).unwrap();
    drop(lock);
}

#[test]
fn a_full_disk_takes_what_fits_and_recovers_with_space() {
    let (memory, file) = disk_with(b"0123");
    memory.limit_bytes(Some(6));
    assert!(file.allocate(7).unwrap_err().is_full());
    assert!(file.write_at(4, b"4567").unwrap_err().is_full());
    assert_eq!(memory.bytes(path("d/f")).unwrap(), b"012345");
    file.write_at(0, b"abcdef").unwrap();
    file.set_len(2).unwrap();
    assert_eq!(memory.used_bytes(), 2);
    file.write_at(2, b"cdef").unwrap();
    memory.limit_bytes(None);
    file.write_at(6, b"gh").unwrap();
}

#[test]
fn a_removed_file_stays_readable_while_it_is_open_and_then_frees_its_space() {
    let (memory, file) = disk_with(b"still here");
    memory.remove(path("d/f")).unwrap();
    memory.sync_directory(path("d")).unwrap();
    let mut read = [0; 5];
    file.read_at(0, &mut read).unwrap();
    assert_eq!(&read, b"still");
    drop(file);
    assert_eq!(memory.used_bytes(), 0);
}

#[test]
fn a_killed_program_leaves_everything_unsynced_as_it_was() {
    let (memory, file) = disk_with(b"old");
    file.write_at(0, b"new").unwrap();
    let killed = memory.killed();
    assert_eq!(killed.bytes(path("d/f")).unwrap(), b"new");
    assert_eq!(
        killed.survivors(DROPPED).bytes(path("d/f")).unwrap(),
        b"old"
    );
    file.write_at(0, b"own").unwrap();
    assert_eq!(
        killed.bytes(path("d/f")).unwrap(),
        b"new",
        "a disk of its own"
    );
}

#[test]
fn survivors_are_the_same_disk_where_nothing_unsynced_tells_them_apart() {
    let (memory, file) = disk_with(b"durable");
    let left = |left| memory.survivors(left);
    assert!(left(KEPT).is_same(&left(DROPPED)));
    file.write_at(0, b"D").unwrap();
    assert!(!left(KEPT).is_same(&left(DROPPED)));
    file.write_at(0, b"d").unwrap();
    assert!(left(KEPT).is_same(&left(DROPPED)), "the bytes count");
    file.set_len(8).unwrap();
    assert!(!left(KEPT).is_same(&left(DROPPED)), "the length, too");
    file.sync().unwrap();
    memory.rename(path("d/f"), path("d/g")).unwrap();
    assert!(!left(KEPT).is_same(&left(DROPPED)), "and the names");
}
