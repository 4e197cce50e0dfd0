//! A data directory with one file replaced: it opens, or says what is wrong.
#![no_main]

use std::path::Path;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use plimsoll_engine::clock::ManualClock;
use plimsoll_engine::{Engine, Options, Timestamp};
use plimsoll_wal::storage::{Memory, Storage};

fuzz_target!(|input: (bool, &[u8])| {
    let (is_manifest, bytes) = input;
    let memory = Memory::new();
    let storage: Arc<dyn Storage> = Arc::new(memory.clone());
    let path = if is_manifest { "data/MANIFEST" } else { "data/log/0000000100000001.log" };
    let parent = Path::new(path).parent().expect("it has one");
    storage.create_directory(parent).expect("memory does not fail");
    memory.put(Path::new(path), bytes);
    let clock = Arc::new(ManualClock::new(Timestamp(0)));
    drop(Engine::open(storage, Options::new("data"), clock));
});
