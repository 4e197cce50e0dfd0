use super::*;

fn choice(keep: &[&str], drop: &[&str]) -> Choice {
    Choice::parse(keep.iter().copied(), drop.iter().copied()).unwrap()
}

fn names(set: SeriesSet, profile: Profile) -> Vec<String> {
    let them = Series::ALL.iter().filter(|series| set.has(**series));
    them.map(|series| {
        let (measurement, field) = profile.names(*series);
        format!("{measurement}:{field}")
    })
    .collect()
}

#[test]
fn an_entry_fits_measurements_and_fields_of_the_profile_and_no_others() {
    const TARGETS: [&str; 4] = [
        "scrape/up_gauge:value",
        "scrape/duration_ns_gauge:value",
        "scrape/samples_gauge:value",
        "scrape/rejected_gauge:value",
    ];
    let classic = choice(&["cpu/usage*", "uptime_ms_cumulative"], &["*_rate"]);
    let stored = names(classic.chosen(Profile::Classic), Profile::Classic);
    let own = [
        "uptime_ms_cumulative:value",
        "cpu/usage_ns_cumulative:value",
    ];
    assert_eq!(stored, [&own[..], &TARGETS].concat());
    let fields = choice(&["cpu:usage*", "uptime"], &["scrape"]);
    let stored = names(
        fields.chosen(Profile::HeapsterV1Fields),
        Profile::HeapsterV1Fields,
    );
    assert_eq!(stored, ["uptime:value", "cpu:usage", "cpu:usage_rate"]);
    // A measurement has all of its fields.
    let memory = choice(&["memory"], &["memory:*_rate", "*:node_*", "scrape"]);
    let stored = names(
        memory.chosen(Profile::HeapsterV1Fields),
        Profile::HeapsterV1Fields,
    );
    assert!(
        stored.iter().all(|name| name.starts_with("memory:")),
        "{stored:?}"
    );
    assert_eq!(stored.len(), 10, "{stored:?}");
    assert!(memory.takes("memory", "x") && !memory.takes("memory", "x_rate"));
    assert!(!memory.takes("memory_bytes", "value"));
}

#[test]
fn nothing_is_left_out_unless_that_is_asked_for() {
    let all = Choice::default();
    assert!(all.is_all() && all.takes("anything", "value"));
    for profile in [Profile::Classic, Profile::HeapsterV1] {
        assert!(
            Series::ALL
                .iter()
                .all(|series| all.chosen(profile).has(*series))
        );
        assert!(all.idle(profile, Aliases::None).is_empty());
    }
    let without = choice(&[], &["*pressure*"]);
    let stored = without.chosen(Profile::Classic);
    assert!(stored.has(Series::CpuUsage) && !stored.has(Series::PressureIoFull));
}

#[test]
fn lists_are_the_same_series_in_every_profile() {
    for (list, count) in [("@heapster-v0", 10), ("@heapster-v1", 43)] {
        let chosen = choice(&[list], &["scrape/*", "scrape"]);
        for profile in Profile::ALL {
            let stored = names(chosen.chosen(profile), profile);
            assert_eq!(stored.len(), count, "{list} {profile} {stored:?}");
        }
    }
}

#[test]
fn what_others_are_computed_of_is_read_and_not_stored() {
    let rate = choice(&["cpu/usage_rate"], &[]);
    let profile = Profile::HeapsterV1;
    assert!(!rate.chosen(profile).has(Series::CpuUsage));
    let wanted = rate.wanted(profile, Aliases::None);
    assert!(wanted.has(Series::CpuUsage));
    assert!(!wanted.has(Series::NetworkRx) && !wanted.has(Series::PressureCpuSome));
    // The old dashboards' name of one that is itself left out.
    let old = choice(&["filesystem/usage_bytes_gauge"], &[]);
    assert!(old.idle(Profile::Classic, Aliases::HeapsterV0).is_empty());
    assert!(!old.chosen(Profile::Classic).has(Series::FilesystemUsage));
    let wanted = old.wanted(Profile::Classic, Aliases::HeapsterV0);
    assert!(wanted.has(Series::FilesystemUsage));
    let wanted = old.wanted(Profile::Classic, Aliases::None);
    assert!(!wanted.has(Series::FilesystemUsage));
}

#[test]
fn an_entry_that_fits_nothing_is_known_until_it_fits_something() {
    let some = choice(&["cpu/*", "node_*"], &["memory/usag"]);
    let idle = || some.idle(Profile::Classic, Aliases::None);
    assert_eq!(
        idle(),
        ["metrics_keep: `node_*`", "metrics_drop: `memory/usag`"]
    );
    assert!(some.takes("node_load1", "value"));
    assert_eq!(idle(), ["metrics_drop: `memory/usag`"]);
    // A name of another profile fits nothing in this one.
    let bare = choice(&["cpu/usage"], &[]);
    assert_eq!(bare.idle(Profile::Classic, Aliases::None).len(), 1);
    assert!(bare.idle(Profile::HeapsterV1, Aliases::None).is_empty());
}

#[test]
fn entries_that_are_none_are_refused_with_the_list_they_stand_in() {
    for (keep, drop, expected) in [
        (
            &["@heapster"][..],
            &[][..],
            "metrics_keep: `@heapster` is no list of metrics; there are @heapster-v0 and @heapster-v1",
        ),
        (&[], &["cpu/*", ""], "metrics_drop: an entry is empty"),
    ] {
        let error = Choice::parse(keep.iter().copied(), drop.iter().copied()).unwrap_err();
        assert_eq!(error, expected);
    }
    let many = vec!["a"; ENTRIES_MAX + 1];
    let error = Choice::parse(many, []).unwrap_err();
    assert!(error.contains("1001 entries"), "{error}");
}
