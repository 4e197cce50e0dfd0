//! A server without any source of the network collects the machine it runs on.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::allow_attributes,
    reason = "a test stops where it fails, and says what it skips"
)]

mod support;

use support::{Server, directory, eventually};

#[test]
fn this_machine_is_collected_without_being_asked() {
    if !std::path::Path::new("/sys/fs/cgroup").exists() {
        println!("SKIPPED this_machine_is_collected_without_being_asked no cgroup file system");
        return;
    }
    let data = directory();
    let server = Server::start_with(data.path(), &["--interval", "1s"]);
    assert!(
        server.greeting[0].contains("cgroups, every 1s"),
        "{:?}",
        server.greeting
    );
    let last = || {
        let select = "SELECT last(value) FROM \"cpu/usage_ns_cumulative\" WHERE type = 'node'";
        let answer = server.query("k8s", select, "&epoch=ns");
        let row = &answer["results"][0]["series"][0]["values"][0];
        row[0].as_i64().zip(row[1].as_i64())
    };
    let (time, used_ns) = eventually("a row of the node", last);
    assert!(used_ns > 0);
    let (_, later_ns) = eventually("a later row", || last().filter(|(t, _)| *t > time));
    assert!(later_ns >= used_ns, "a cumulative counter does not go down");
    let tags = server.query(
        "k8s",
        "SHOW TAG VALUES FROM \"cpu/usage_ns_cumulative\" WITH KEY = \"container_name\"",
        "",
    );
    assert!(tags.to_string().contains("\"machine\""), "{tags}");
}
