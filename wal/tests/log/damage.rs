use plimsoll_wal::Error;
use plimsoll_wal::log::{CommitSync, Durability, LOG_FORMAT_VERSION, Tail};
use plimsoll_wal::storage::Memory;

use crate::workload::{commit, disk, log_files, overwrite, read, start};

/// Three files of three frames each, all synced; the last file is still preallocated.
fn small_log() -> (Memory, Vec<(u64, Vec<u8>)>) {
    let memory = disk();
    let log = start(&memory, Durability::Sync, 0).unwrap();
    for number in 0..9_u8 {
        if number == 3 || number == 6 {
            log.rotate(&|_| {}).unwrap();
        }
        commit(
            &log,
            &vec![number + 1; 3 + usize::from(number)],
            CommitSync::AsConfigured,
        )
        .unwrap();
    }
    let (recovered, frames) = read(&memory, 0).unwrap();
    assert_eq!(recovered.tail, Tail::Clean);
    assert_eq!(frames.len(), 9);
    (memory, frames)
}

const FRAME_BYTES: usize = 48; // of bodies up to 8 bytes
const LAST_FRAME: usize = 64 + 2 * 56; // bodies of 9, 10 and 11 bytes

#[test]
fn every_flipped_byte_is_right_data_a_reported_tail_or_a_typed_error() {
    let (memory, frames) = small_log();
    let files = log_files(&memory);
    for (index, path) in files.iter().enumerate() {
        let good = memory.bytes(path).unwrap();
        for at in 0..good.len() {
            for flip in [0x01, 0xff] {
                let mut bad = good.clone();
                bad[at] ^= flip;
                overwrite(&memory, path, &bad);
                let what = format!("file {index}, byte {at}, flip {flip}");
                match read(&memory, 0) {
                    Ok((recovered, found)) if found == frames => {
                        // Padding, or the preallocated rest.
                        let is_rest = index == 2 && at >= LAST_FRAME + 56;
                        assert_eq!(recovered.tail != Tail::Clean, is_rest, "{what}");
                    }
                    Ok((recovered, found)) => {
                        // Only of the last frame there is no proof that it was durable.
                        assert!(index == 2 && at >= LAST_FRAME, "{what}");
                        assert_eq!(found, frames[..8], "{what}");
                        let valid_to = LAST_FRAME as u64;
                        match recovered.tail {
                            Tail::Torn { valid_to: to, .. } => assert_eq!(to, valid_to, "{what}"),
                            Tail::Clean => panic!("{what}: not reported"),
                        }
                    }
                    Err(Error::Corrupt {
                        path: named,
                        offset,
                        ..
                    }) => {
                        assert_eq!(&named, path, "{what}");
                        assert!(offset <= at as u64, "{what}: {offset}");
                    }
                    Err(error) => panic!("{what}: {error}"),
                }
            }
        }
        overwrite(&memory, path, &good);
    }
}

#[test]
fn corruption_names_the_frame_where_it_starts() {
    let (memory, _) = small_log();
    let files = log_files(&memory);
    for (index, frame, offset) in [
        (0, 0, 64),
        (0, 2, 64 + 2 * FRAME_BYTES),
        (1, 1, 64 + FRAME_BYTES),
        (2, 0, 64),
        (2, 1, 64 + 56),
    ] {
        let good = memory.bytes(&files[index]).unwrap();
        let mut bad = good.clone();
        bad[offset + 41] ^= 4;
        overwrite(&memory, &files[index], &bad);
        let error = read(&memory, 0).unwrap_err();
        let text = error.to_string();
        match error {
            Error::Corrupt {
                path,
                offset: named,
                ..
            } => {
                assert_eq!(
                    (&path, named),
                    (&files[index], offset as u64),
                    "frame {frame}"
                );
                assert!(text.contains(&format!("at byte {offset}")), "{text}");
            }
            other => panic!("{other}"),
        }
        // What is covered elsewhere does not matter any more.
        if index < 2 {
            assert_eq!(read(&memory, 6).unwrap().1.len(), 3);
        }
        overwrite(&memory, &files[index], &good);
    }
}

#[test]
fn every_truncation_is_a_run_of_whole_frames_or_a_typed_error() {
    let (memory, frames) = small_log();
    for (index, path) in log_files(&memory).iter().enumerate() {
        let good = memory.bytes(path).unwrap();
        for len in 0..good.len() {
            overwrite(&memory, path, &good[..len]);
            match read(&memory, 0) {
                Ok((recovered, found)) => {
                    assert_eq!(index, 2, "a file that has a successor must be whole: {len}");
                    assert!(len >= 64);
                    assert!(found.len() >= 6 && found == frames[..found.len()], "{len}");
                    let end = 64 + (found.len() - 6) * 56;
                    assert_eq!(recovered.tail != Tail::Clean, len > end && found.len() < 9);
                }
                Err(Error::Corrupt { path: named, .. }) => {
                    assert_eq!(&named, path);
                    assert!(index < 2 || len < 64, "{index} {len}");
                }
                Err(error) => panic!("{index} {len}: {error}"),
            }
        }
        overwrite(&memory, path, &good);
    }
}

#[test]
fn a_missing_file_is_named_unless_it_is_covered() {
    for (index, covered) in [(0, 3), (1, 6)] {
        let (memory, frames) = small_log();
        let path = log_files(&memory).remove(index);
        plimsoll_wal::storage::Storage::remove(&memory, &path).unwrap();
        match read(&memory, 0) {
            Err(Error::Corrupt { path: named, .. }) => assert_eq!(named, path),
            other => panic!("{other:?}"),
        }
        let after = usize::try_from(covered).unwrap();
        assert_eq!(read(&memory, covered).unwrap().1, frames[after..]);
    }
}

#[test]
fn old_frames_and_bytes_of_other_files_never_pass_for_new_ones() {
    let (memory, frames) = small_log();
    let files = log_files(&memory);
    // The blocks of an earlier file appear in the preallocated rest of the last.
    let foreign = memory.bytes(&files[1]).unwrap();
    let mut bytes = memory.bytes(&files[2]).unwrap();
    let end = LAST_FRAME + 56;
    bytes[end..end + foreign.len() - 64].copy_from_slice(&foreign[64..]);
    overwrite(&memory, &files[2], &bytes);
    let (recovered, found) = read(&memory, 0).unwrap();
    assert_eq!(found, frames);
    assert!(matches!(recovered.tail, Tail::Torn { valid_to, .. } if valid_to == end as u64));
}

#[test]
fn a_newer_format_is_refused_by_name() {
    let (memory, _) = small_log();
    let path = log_files(&memory).remove(2);
    let mut bytes = memory.bytes(&path).unwrap();
    bytes[8] = LOG_FORMAT_VERSION.to_le_bytes()[0] + 1;
    let mut crc = crc32fast::Hasher::new();
    crc.update(&bytes[..12]);
    crc.update(&bytes[16..64]);
    bytes[12..16].copy_from_slice(&crc.finalize().to_le_bytes());
    overwrite(&memory, &path, &bytes);
    match read(&memory, 0) {
        Err(
            error @ Error::NewerFormat {
                found,
                known: LOG_FORMAT_VERSION,
                ..
            },
        ) => {
            assert_eq!(found, LOG_FORMAT_VERSION + 1);
            assert!(error.to_string().contains("use a newer plimsoll"));
        }
        other => panic!("{other:?}"),
    }
}
