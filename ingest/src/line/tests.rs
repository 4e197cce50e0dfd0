//! The table was answered by a live influxd 1.6.7; see the module's head for what differs.

use influxdb_line_protocol as oracle;
use plimsoll_engine::{FieldValue, Timestamp};
use proptest::prelude::*;

use super::{FIELDS_MAX, LINE_BYTES_MAX, Precision, TAGS_MAX, parse, scan};

mod known;

const NOW: Timestamp = Timestamp(1_700_000_000_123_456_789);

fn one(line: &str) -> super::Parsed {
    parse(line.as_bytes(), Precision::Nanoseconds, NOW)
}

/// `measurement,tags fields time` of every point, in our own spelling.
fn shown(parsed: &super::Parsed) -> Vec<String> {
    let batch = &parsed.batch;
    batch
        .points()
        .map(|point| {
            let fields: Vec<_> = point
                .fields
                .iter()
                .map(|(name, value)| format!("{}={value:?}", batch.names()[*name as usize]))
                .collect();
            format!(
                "{}|{}|{}|{}",
                batch.names()[point.measurement as usize],
                batch.tag_sets()[point.tag_set as usize],
                fields.join(","),
                if point.time == NOW {
                    "now".to_owned()
                } else {
                    point.time.0.to_string()
                }
            )
        })
        .collect()
}

#[test]
fn refused_lines_get_influxdbs_texts() {
    for (line, text) in [
        ("a", "missing fields"),
        ("a ", "invalid field format"),
        ("a v", "invalid field format"),
        ("a v=", "missing field value"),
        ("a =1", "missing field key"),
        ("a v=1,", "invalid field format"),
        ("a v=1,b", "invalid field format"),
        (",t=1 v=1", "missing measurement"),
        ("a,=1 v=1", "missing tag key"),
        ("a,t v=1", "missing tag value"),
        ("a,t= v=1", "missing tag value"),
        ("a, v=1", "missing tag key"),
        ("a,t=1", "missing fields"),
        ("a,t=1,t=2 v=1", "duplicate tags"),
        ("a,t=1,b=1,t=2 v=1", "duplicate tags"),
        ("a,t=x=y v=1", "invalid tag format"),
        ("a v=1 x", "bad timestamp"),
        ("a v=1 1x", "bad timestamp"),
        ("a v=1 1 2", "point is invalid"),
        ("a v=1 1 x", "point is invalid"),
        ("a v=1 -", "strconv.ParseInt: parsing \"-\": invalid syntax"),
        (
            "a v=1 99999999999999999999",
            "strconv.ParseInt: parsing \"99999999999999999999\": value out of range",
        ),
        (
            "a v=1 9223372036854775807",
            "time outside range -9223372036854775806 - 9223372036854775806",
        ),
        (
            "a v=1 -9223372036854775808",
            "time outside range -9223372036854775806 - 9223372036854775806",
        ),
        ("a v=1i2", "invalid number"),
        ("a v=nan", "invalid number"),
        ("a v=NaN", "invalid number"),
        ("a v=+1", "invalid boolean"),
        ("a v=-", "invalid number"),
        ("a v=1e", "invalid float"),
        ("a v=1e400", "invalid float"),
        ("a v=.", "invalid number"),
        ("a v=-i", "invalid number"),
        ("a v=i", "invalid boolean"),
        ("a v=1.5i", "invalid number"),
        (
            "a v=9223372036854775808i",
            "unable to parse integer 9223372036854775808: strconv.ParseInt: parsing \"9223372036854775808\": value out of range",
        ),
        (
            "a v=-9223372036854775809i",
            "unable to parse integer -9223372036854775809: strconv.ParseInt: parsing \"-9223372036854775809\": value out of range",
        ),
        ("a v=tru", "invalid boolean"),
        ("a v=truE", "invalid boolean"),
        ("a v=yes", "invalid boolean"),
        ("a v=\"x", "unbalanced quotes"),
        ("a v=\"x\" y", "bad timestamp"),
        ("a v=\"x\",", "invalid field format"),
        ("a v=1,,b=2", "invalid field format"),
        ("a v=1,=2", "missing field key"),
        ("a v==1", "invalid boolean"),
        ("a v=1=2", "invalid number"),
        ("a v=t=2", "invalid boolean"),
        ("a v=\"a\"=\"b\"", "invalid field format"),
        ("a v=1\t1", "invalid number"),
        ("a v=1 1\t", "bad timestamp"),
        ("a\tv=1", "missing fields"),
        ("a\\\\ v=1", "missing fields"),
        ("a,t=a\\ v=1", "invalid tag format"),
        ("a,t=\\ v=1 v=2", "invalid tag format"),
        ("a\\", "missing fields"),
        ("a,t=1\\", "missing fields"),
        ("a v\\=1", "invalid field format"),
        ("a v=1\\", "invalid number"),
        ("a v=0x10", "invalid number"),
        ("a v=Inf", "invalid boolean"),
        ("a v=-inf", "invalid number"),
        ("a v=-t", "invalid number"),
        ("a v=1.1.1", "invalid number"),
        ("a v=1e5e5", "invalid float"),
        ("a v=ee", "invalid boolean"),
        ("a,t=1,u=2, v=1", "missing tag key"),
        ("a,t=1 ", "invalid field format"),
        ("a v= 1", "missing field value"),
        ("a v =1", "invalid field format"),
        ("a v=1,\"w x\"=2", "invalid field format"),
        ("a v=n", "invalid number"),
        ("a v=-n", "invalid number"),
        ("a v=1nnn", "invalid number"),
        ("a v=1-2", "invalid number"),
        ("a v=1e--2", "invalid number"),
        ("a v=1e309i", "invalid number"),
        ("a,t=1,u=\"a b\" v=1", "invalid field format"),
        ("a v=1\0", "invalid number"),
        ("a,b\\=1 v=1", "missing tag value"),
        ("a v,w=1", "invalid field format"),
        ("a v=1,w,x=2", "invalid field format"),
        ("a v=1 +5", "bad timestamp"),
        ("a v=1 1.5", "bad timestamp"),
        ("a v=1 \"1\"", "bad timestamp"),
    ] {
        let parsed = one(line);
        let expected = format!("unable to parse '{line}': {text}");
        assert_eq!(
            parsed.error_text(None).as_deref(),
            Some(&*expected),
            "{line}"
        );
        assert!(parsed.batch.is_empty(), "{line}");
    }
}

#[test]
fn good_lines_are_read_as_influxdb_reads_them() {
    for (line, point) in [
        ("a v=1", "a||v=Float(1.0)|now"),
        ("a v=.5", "a||v=Float(0.5)|now"),
        ("a v=5.", "a||v=Float(5.0)|now"),
        ("a v=-1e3 7", "a||v=Float(-1000.0)|7"),
        ("a v=1E+5", "a||v=Float(100000.0)|now"),
        ("a v=00012", "a||v=Float(12.0)|now"),
        (
            "a v=123456789012345678901234567890",
            "a||v=Float(1.2345678901234568e29)|now",
        ),
        (
            "a v=-9223372036854775808i",
            "a||v=Integer(-9223372036854775808)|now",
        ),
        (
            "a v=18446744073709551615u",
            "a||v=Unsigned(18446744073709551615)|now",
        ),
        ("a v=True", "a||v=Boolean(true)|now"),
        ("a v=t,w=f 1", "a||v=Boolean(true),w=Boolean(false)|1"),
        ("a v=FALSE", "a||v=Boolean(false)|now"),
        ("a v=\"\"", "a||v=String(\"\")|now"),
        (r#"a v="a\"b\\c\d""#, r#"a||v=String("a\"b\\c\\d")|now"#),
        ("a v=\"x, y=z\" 1", "a||v=String(\"x, y=z\")|1"),
        ("a v=\"a\nb\" 1", "a||v=String(\"a\\nb\")|1"),
        ("a v=\"x\"y", "a||v=String(\"x\\\"\")|now"),
        (
            "a v=1i,w=2.5,x=\"s\",y=t 5",
            "a||v=Integer(1),w=Float(2.5),x=String(\"s\"),y=Boolean(true)|5",
        ),
        (
            "a v=1 9223372036854775806",
            "a||v=Float(1.0)|9223372036854775806",
        ),
        (
            "a v=1 -9223372036854775806",
            "a||v=Float(1.0)|-9223372036854775806",
        ),
        ("a v=1 00012", "a||v=Float(1.0)|12"),
        (" \ta  v=1  1  ", "a||v=Float(1.0)|1"),
        ("\0a v=1 \u{0}1", "a||v=Float(1.0)|1"),
        ("a time=1,v=2", "a||v=Float(2.0)|now"),
        ("\\,a v=1", ",a||v=Float(1.0)|now"),
        (
            r"a\ b,c\=d=e\ f\,g f\ \,\=x=1",
            r"a b|c\=d=e\ f\,g|f ,=x=Float(1.0)|now",
        ),
        (r"a\=b v=1", "a=b||v=Float(1.0)|now"),
        ("a \"v\"=1", "a||\"v\"=Float(1.0)|now"),
        (r"a \=b=1", "a||=b=Float(1.0)|now"),
        (r"a,\=b=1 v=1", r"a|\=b=1|v=Float(1.0)|now"),
        ("a,t==x v=1", r"a|t=\=x|v=Float(1.0)|now"),
        ("a,t=1\tx v=1", "a|t=1\tx|v=Float(1.0)|now"),
        ("a,z=1,b=2,y=3 v=1", "a|b=2,y=3,z=1|v=Float(1.0)|now"),
        ("a,ä=ö v=\"ü\"", "a|ä=ö|v=String(\"ü\")|now"),
        ("a v=1,v=2", "a||v=Float(1.0),v=Float(2.0)|now"),
    ] {
        let parsed = one(line);
        assert_eq!(shown(&parsed), [point], "{line}: {:?}", parsed.rejected);
        assert_eq!(parsed.error_text(None), None, "{line}");
    }
}

#[test]
fn blank_lines_and_comments_are_nothing() {
    for body in [
        "",
        "\n\n",
        "\r\n  \r\n",
        "# c",
        " # c\n#a v=1\n",
        "# x = \"\n",
    ] {
        let parsed = one(body);
        assert_eq!(parsed.error_text(None), None, "{body:?}");
        assert!(parsed.batch.is_empty(), "{body:?}");
    }
}

#[test]
fn a_quote_in_a_comment_does_not_swallow_the_next_line() {
    assert_eq!(shown(&one("# say = \"\na v=1 1")), ["a||v=Float(1.0)|1"]);
}

#[test]
fn lines_may_end_in_carriage_return_and_newline() {
    assert_eq!(
        shown(&one(
            "a v=1\r\nb v=2 5\r\nc v=\"x\"\r\nd v=\"x\r\ny\" 1\r\n"
        )),
        [
            "a||v=Float(1.0)|now",
            "b||v=Float(2.0)|5",
            "c||v=String(\"x\")|now",
            "d||v=String(\"x\\r\\ny\")|1"
        ]
    );
}

#[test]
fn good_lines_of_a_bad_body_are_kept() {
    let parsed = one("a\nb v=1,\nc v=1");
    assert_eq!(
        parsed.error_text(None).unwrap(),
        "partial write: unable to parse 'a': missing fields\nunable to parse 'b v=1,': invalid field format dropped=0"
    );
    assert_eq!(shown(&parsed), ["c||v=Float(1.0)|now"]);
}

#[test]
fn a_tag_or_a_lone_field_named_time_drops_the_point() {
    for (body, text) in [
        (
            "a time=1",
            "partial write: invalid field name: input field \"time\" on measurement \"a\" is invalid dropped=1",
        ),
        (
            "a,time=1 v=1",
            "partial write: invalid tag key: input tag \"time\" on measurement \"a\" is invalid dropped=1",
        ),
        (
            "a\nb,x=1,time=1,a=2 v=1\nc v=1",
            "partial write: invalid tag key: input tag \"time\" on measurement \"b\" is invalid dropped=1",
        ),
        (
            "a time=1\nb,time=1 v=1\nc,time=1 v=1",
            "partial write: invalid tag key: input tag \"time\" on measurement \"b\" is invalid dropped=3",
        ),
    ] {
        assert_eq!(one(body).error_text(None).as_deref(), Some(text), "{body}");
    }
}

#[test]
fn what_the_engine_dropped_is_added_to_the_text() {
    let conflict = super::Dropped {
        reason: "field type conflict: input field \"v\" on measurement \"a\" is type string, already exists as type float".to_owned(),
        count: 2,
    };
    assert_eq!(
        one("a v=\"x\"").error_text(Some(&conflict)).unwrap(),
        "partial write: field type conflict: input field \"v\" on measurement \"a\" is type string, already exists as type float dropped=2"
    );
}

#[test]
fn times_are_in_the_unit_of_the_body_and_now_is_cut_down_to_it() {
    for (precision, unit, now) in [
        (Precision::Nanoseconds, 1, 1_700_000_000_123_456_789),
        (Precision::Microseconds, 1_000, 1_700_000_000_123_456_000),
        (
            Precision::Milliseconds,
            1_000_000,
            1_700_000_000_123_000_000,
        ),
        (Precision::Seconds, 1_000_000_000, 1_700_000_000_000_000_000),
        (
            Precision::Minutes,
            60_000_000_000,
            1_699_999_980_000_000_000,
        ),
        (
            Precision::Hours,
            3_600_000_000_000,
            1_699_999_200_000_000_000,
        ),
    ] {
        let parsed = parse(b"a v=1 -17\na v=1", precision, NOW);
        let times: Vec<_> = parsed.batch.points().map(|point| point.time.0).collect();
        assert_eq!(times, [-17 * unit, now], "{precision:?}");
    }
    let parsed = parse(b"a v=1 9223372036854775", Precision::Milliseconds, NOW);
    assert_eq!(
        parsed.error_text(None).unwrap(),
        "unable to parse 'a v=1 9223372036854775': time outside range -9223372036854775806 - 9223372036854775806"
    );
}

#[test]
fn lines_of_one_container_share_its_tag_set() {
    let parsed = one(
        "cpu,pod=a,ns=x value=1i 5\nmem,pod=a,ns=x value=2i 5\ncpu,ns=x,pod=a value=3i 6\nup value=1 6\ncpu,pod=a,ns=x value=4i 7",
    );
    let tag_sets: Vec<_> = parsed.batch.points().map(|point| point.tag_set).collect();
    assert_eq!(tag_sets, [0, 0, 0, 1, 0]);
    assert_eq!(parsed.batch.names().len(), 4);
}

#[test]
fn tags_that_start_like_the_last_lines_tags_are_not_mistaken_for_them() {
    assert_eq!(
        shown(&one(
            "a,t=1 v=1 1\na,t=12 v=1 1\na,t=1\\ 2 v=1 1\na,t=1,u=2 v=1 1\na,t=1"
        )),
        [
            "a|t=1|v=Float(1.0)|1",
            "a|t=12|v=Float(1.0)|1",
            "a|t=1\\ 2|v=Float(1.0)|1",
            "a|t=1,u=2|v=Float(1.0)|1"
        ]
    );
}

#[test]
fn text_that_is_not_utf8_is_refused_in_names_and_replaced_in_values() {
    let parsed = parse(
        b"\xff v=1\na,t=\xff v=1\na \xff=1\na v=\"\xff\" 1",
        Precision::default(),
        NOW,
    );
    assert_eq!(parsed.rejected_count, 3);
    assert_eq!(shown(&parsed), ["a||v=String(\"\u{fffd}\")|1"]);
}

#[test]
fn a_line_has_limits_that_its_refusal_names() {
    let many = |count: usize, join: &str| -> String {
        let pairs: Vec<String> = (0..count).map(|i| format!("k{i:05}=1")).collect();
        pairs.join(join)
    };
    let error = |line: &str| one(line).error_text(None);
    let refused = |line: &str, end: &str| {
        let text = error(line).unwrap();
        assert!(
            text.contains(end) && text.len() < line.len() + 300,
            "{text:.300}"
        );
    };
    assert_eq!(error(&format!("m,{} v=1", many(TAGS_MAX, ","))), None);
    refused(
        &format!("m,{} v=1", many(TAGS_MAX + 1, ",")),
        "max tags per point exceeded: 1025 > 1024",
    );
    assert_eq!(error(&format!("m {}", many(FIELDS_MAX, ","))), None);
    refused(
        &format!("m {}", many(FIELDS_MAX + 1, ",")),
        "max fields per point exceeded: 16385 > 16384",
    );
    let text = |bytes: usize| format!("m v=\"{}\"", "x".repeat(bytes - 6));
    assert_eq!(error(&text(LINE_BYTES_MAX)), None);
    let long = error(&text(LINE_BYTES_MAX + 1)).unwrap();
    assert!(long.contains("max line length exceeded: 4194305 > 4194304 bytes"));
    assert!(long.len() < 500, "the line is not sent back");
}

#[test]
fn a_key_that_is_too_long_is_refused() {
    let long = format!("a,t={} v=1", "x".repeat(65_532));
    assert!(
        one(&long)
            .error_text(None)
            .unwrap()
            .ends_with("max key length exceeded: 65536 > 65535")
    );
    let long = format!("a,t={} v=1", "x".repeat(65_528));
    assert!(
        one(&long)
            .error_text(None)
            .unwrap()
            .ends_with("max key length exceeded: 65537 > 65535")
    );
    let fits = format!("a,t={} v=1", "x".repeat(65_526));
    assert_eq!(one(&fits).error_text(None), None);
}

#[test]
fn only_the_first_refused_lines_are_kept_with_their_text() {
    let parsed = one(&"a\n".repeat(super::REJECTED_LINES_KEPT_MAX + 7));
    assert_eq!(parsed.rejected.len(), super::REJECTED_LINES_KEPT_MAX);
    assert_eq!(parsed.rejected_count, super::REJECTED_LINES_KEPT_MAX + 7);
    assert!(
        parsed
            .error_text(None)
            .unwrap()
            .ends_with("\nand 7 more lines")
    );
}

/// Bytes that are likely to hit the grammar.
fn grammar_soup() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        3 => prop::sample::select(vec![
            "a", "t", "=", ",", " ", "\\", "\"", "\n", "\r\n", "1", "-", ".", "e", "i", "u",
            "true", "F", "#", "time", "v=1", " v=2i 5\n", "\t", "\0", "ä", "cpu,host=a ",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..4),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn name() -> impl Strategy<Value = String> {
    "[a-zA-Zäµ_/:.{}-][a-zA-Z0-9 ,=_/\"äµ:.-]{0,11}"
        .prop_filter("time is special", |name| name != "time")
}

fn escaped(name: &str, escapes: &str) -> String {
    name.chars().fold(String::new(), |mut out, c| {
        if escapes.contains(c) {
            out.push('\\');
        }
        out.push(c);
        out
    })
}

fn value() -> impl Strategy<Value = (String, FieldValue)> {
    prop_oneof![
        any::<i64>().prop_map(|v| (format!("{v}i"), FieldValue::Integer(v))),
        any::<u64>().prop_map(|v| (format!("{v}u"), FieldValue::Unsigned(v))),
        any::<f64>()
            .prop_filter("finite", |v| v.is_finite())
            .prop_map(|v| (format!("{v:e}"), FieldValue::Float(v))),
        any::<i32>().prop_map(|v| (format!("{v}"), FieldValue::Float(f64::from(v)))),
        any::<bool>().prop_map(|v| (format!("{v}"), FieldValue::Boolean(v))),
        "[a-z ,=\"\\\\\n#ä]{0,12}".prop_map(|v| (
            format!("\"{}\"", escaped(&v, "\"\\")),
            FieldValue::String(v.into())
        )),
    ]
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(body in grammar_soup()) {
        let parsed = parse(&body, Precision::Hours, NOW);
        prop_assert!(parsed.rejected.len() <= parsed.rejected_count);
        prop_assert_eq!(
            parsed.error_text(None).is_some(),
            parsed.rejected_count > 0 || parsed.dropped.is_some()
        );
    }

    #[test]
    fn what_the_quick_reader_takes_the_careful_walk_takes_too(body in grammar_soup()) {
        let mut at = 0;
        while let Some(line) = super::lines::next(&body, &mut at) {
            let Ok(measurement) = super::key::measurement(line) else { continue };
            let end = match measurement.tags_start {
                None => measurement.end,
                Some(start) => {
                    let mut batch = plimsoll_engine::Batch::default();
                    match super::key::Tags::default().read(line, start, &mut batch) {
                        Ok((_, end)) => end,
                        Err(_) => continue,
                    }
                }
            };
            let start = super::lines::skip_space(line, end);
            let mut quick = Vec::new();
            let mut careful = Vec::new();
            let mut names = super::names::Names::default();
            let mut batch = plimsoll_engine::Batch::default();
            if let Ok(Some(read)) = super::fields::plain(line, start, &mut names, &mut batch, &mut quick) {
                let again = super::fields::careful(line, start, &mut names, &mut batch, &mut careful);
                prop_assert_eq!(Ok(read), again);
                prop_assert_eq!(&quick, &careful);
                prop_assert_eq!(scan::fields(line, start), Ok(read.end));
            }
        }
    }

    #[test]
    fn generated_lines_are_read_back_and_the_oracle_agrees(
        measurement in name(),
        tags in prop::collection::btree_map(name(), "[a-z0-9 ,=ä\"/:]{1,9}", 0..5),
        fields in prop::collection::btree_map(name(), value(), 1..5),
        time in prop::option::of(-9_223_372_036_854_775_806_i64..=9_223_372_036_854_775_806),
        reversed in any::<bool>(),
    ) {
        prop_assume!(!measurement.starts_with('#'));
        let mut line = escaped(&measurement, ", ");
        let mut pairs: Vec<_> = tags.iter().collect();
        if reversed {
            pairs.reverse();
        }
        for (key, value) in pairs {
            line += &format!(",{}={}", escaped(key, ",= "), escaped(value, ",= "));
        }
        let texts: Vec<_> = fields
            .iter()
            .map(|(key, (text, _))| format!("{}={text}", escaped(key, ",= ")))
            .collect();
        line += &format!(" {}", texts.join(","));
        if let Some(time) = time {
            line += &format!(" {time}");
        }
        let parsed = parse(line.as_bytes(), Precision::Nanoseconds, NOW);
        prop_assert_eq!(parsed.error_text(None), None, "{}", line);
        prop_assert_eq!(parsed.batch.len(), 1);
        let batch = &parsed.batch;
        let point = batch.points().next().unwrap();
        prop_assert_eq!(&*batch.names()[point.measurement as usize], &*measurement);
        let read: Vec<(String, String)> = batch.tag_sets()[point.tag_set as usize]
            .pairs()
            .map(|(k, v)| (k.into_owned(), v.into_owned()))
            .collect();
        let sent: Vec<_> = tags.into_iter().collect();
        prop_assert_eq!(&read, &sent);
        prop_assert_eq!(point.time, time.map_or(NOW, Timestamp));
        for (id, value) in point.fields {
            let key = batch.names()[*id as usize].to_string();
            prop_assert_eq!(value, &fields[&key].1);
        }
        prop_assert_eq!(point.fields.len(), fields.len());

        // The crate reads no `"` in names as we and InfluxDB do, so compare where it can.
        let theirs: Result<Vec<_>, _> = oracle::parse_lines(&line).collect();
        if let Ok(theirs) = theirs
            && !line.contains('"')
        {
            prop_assert_eq!(theirs.len(), 1);
            prop_assert_eq!(theirs[0].series.measurement.as_str(), &*measurement);
            prop_assert_eq!(theirs[0].timestamp, time);
            for (key, value) in &theirs[0].field_set {
                let ours = &fields[key.as_str()].1;
                let same = match (value, ours) {
                    (oracle::FieldValue::I64(a), FieldValue::Integer(b)) => a == b,
                    (oracle::FieldValue::U64(a), FieldValue::Unsigned(b)) => a == b,
                    (oracle::FieldValue::F64(a), FieldValue::Float(b)) => a.to_bits() == b.to_bits(),
                    (oracle::FieldValue::Boolean(a), FieldValue::Boolean(b)) => a == b,
                    _ => false,
                };
                prop_assert!(same, "{line}: {value:?} {ours:?}");
            }
            let tags: Vec<(String, String)> = theirs[0]
                .series
                .tag_set
                .iter()
                .flatten()
                .map(|(k, v)| (k.to_string(), v.to_string()))
                .collect();
            let mut tags = tags;
            tags.sort();
            prop_assert_eq!(tags, read);
        }
    }
}
